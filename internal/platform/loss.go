package platform

import (
	"context"
	"sync"

	"claude-bottle/internal/wire"
)

// Loss is whether a bottle is lost, and why: its guest or its gateway ended, or
// it passed a limit. NewLoss makes one.
type Loss struct {
	lost chan struct{}

	mu     sync.Mutex // guards reason
	reason error
}

// NewLoss is that of a bottle that is not lost.
func NewLoss() *Loss { return &Loss{lost: make(chan struct{})} }

// Lost is closed when guest or gateway have ended, or a limit was passed.
func (l *Loss) Lost() <-chan struct{} { return l.lost }

// Err says why the bottle is lost; nil when it is not.
func (l *Loss) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

// Lose marks the bottle as lost, for the first reason it is given.
func (l *Loss) Lose(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason == nil {
		l.reason = reason
		close(l.lost)
	}
}

// Exec runs a process by the boot stream when that is free, else by beside: a
// conversation of its own. boot is nil for a bottle that another process
// launched. Why a bottle is lost is why its processes end, and the error.
func (l *Loss) Exec(ctx context.Context, boot *BootStream, beside Exec, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	if err := l.Err(); err != nil {
		return wire.Exit{}, err
	}
	exec := beside
	if boot != nil && boot.Take() {
		defer boot.Give()
		exec = boot.Exec
	}
	exit, err := exec(ctx, start, streams)
	if reason := l.Err(); err != nil && reason != nil {
		return exit, reason
	}
	return exit, err
}

// Exec runs one process in a bottle.
type Exec func(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error)
