package term

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Table is a list for people: a head and rows, aligned on the left.
type Table struct {
	head []string
	rows [][]string
}

// NewTable begins a table; without head there is no such line.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds one. Every cell is escaped.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = Escape(cell)
	}
	t.rows = append(t.rows, row)
}

// gap is between two columns.
const gap = "  "

// Print writes the table; style is for the head.
func (t *Table) Print(w io.Writer, style Style) error {
	lines := t.rows
	if len(t.head) > 0 {
		lines = append([][]string{t.head}, lines...)
	}
	var widths []int
	for _, line := range lines {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cellWidth(cell))
		}
	}
	var b strings.Builder
	for i, line := range lines {
		text := layout(line, widths)
		if i == 0 && len(t.head) > 0 {
			text = style.Bold(text)
		}
		b.WriteString(text + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// layout pads the cells of a line, but for what would end it in spaces.
func layout(line []string, widths []int) string {
	var b strings.Builder
	for i, cell := range line {
		b.WriteString(cell)
		if i < len(line)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-cellWidth(cell)) + gap)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// cellWidth is how many columns a terminal gives to text (UAX #11).
func cellWidth(text string) int {
	columns := 0
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Mn, r):
		case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}
