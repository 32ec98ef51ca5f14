package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Progress tells a person at a terminal what is under way, on one line that
// goes away. Elsewhere it is silent.
type Progress struct {
	out   io.Writer
	shown bool

	mu    sync.Mutex // guards what follows, and out
	text  string
	frame int
	stop  chan struct{} // closed to end the spinner; nil when none turns
	ended chan struct{}
}

// NewProgress is for one stream, standard error.
func NewProgress(out io.Writer, getenv func(string) string) *Progress {
	return &Progress{out: out, shown: IsTerminal(out) && getenv("TERM") != "dumb"}
}

const (
	frames   = `|/-\`
	frameFor = 120 * time.Millisecond
	wipeLine = "\r\x1b[K"
)

// Show says what is under way now; text is escaped. Done must follow.
func (p *Progress) Show(text string) {
	if !p.shown {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = Escape(text)
	p.draw()
	if p.stop == nil {
		p.stop, p.ended = make(chan struct{}), make(chan struct{})
		go p.turn(p.stop, p.ended)
	}
}

// Line prints one that stays, above what is under way; text is escaped.
func (p *Progress) Line(text string) {
	if !p.shown {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, "%s%s\n", wipeLine, Escape(text))
	if p.stop != nil {
		p.draw()
	}
}

// Done wipes the line and waits until the spinner has ended. Print nothing
// else on the terminal between Show and Done.
func (p *Progress) Done() {
	p.mu.Lock()
	stop, ended := p.stop, p.ended
	p.stop = nil
	p.mu.Unlock()
	if stop == nil {
		return
	}
	close(stop)
	<-ended
	_, _ = io.WriteString(p.out, wipeLine)
}

func (p *Progress) turn(stop, ended chan struct{}) {
	defer close(ended)
	ticker := time.NewTicker(frameFor)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			if p.stop != nil {
				p.frame++
				p.draw()
			}
			p.mu.Unlock()
		}
	}
}

// draw writes the line, cut to the terminal's width: one that wraps cannot be
// wiped.
func (p *Progress) draw() {
	text := p.text
	if cols := int(SizeOf(p.out).Cols); cols > 0 {
		text = cut(text, cols-3)
	}
	_, _ = fmt.Fprintf(p.out, "%s%c %s", wipeLine, frames[p.frame%len(frames)], text)
}

// cut returns as much of text as fits in columns.
func cut(text string, columns int) string {
	var b strings.Builder
	for _, r := range text {
		columns -= cellWidth(string(r))
		if columns < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
