//go:build linux

// Command search searches all that a process in a bottle can read for texts
// that should be nowhere: environments, arguments, descriptors and memory of
// every process, the kernel's lists of keys, and every file that has changed
// since the bottle was made. It is static, and needs nothing.
//
//	search NEEDLES SINCE
//
// The texts are in the file NEEDLES, one a line in hexadecimal with each of its
// bits turned over, so that neither that file nor the program's is found. SINCE
// is in seconds since 1970. One text of its own it puts everywhere, to see that
// it would see.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "search:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 2 && args[0] == "hold" {
		return hold(args[1], in, out)
	}
	if len(args) != 2 {
		return fmt.Errorf("%d arguments: see the program's documentation", len(args))
	}
	texts, err := needles(args[0])
	if err != nil {
		return err
	}
	since, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return fmt.Errorf("read a time: %w", err)
	}
	return newSearcher(texts, since, out).everywhere()
}

// needles reads them from a file.
func needles(path string) (texts []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, err := hex.DecodeString(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		for i := range text {
			text[i] = ^text[i]
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}

// planted starts a process that has own in its arguments, environment, memory
// and descriptors; end ends it. In a file of the home it is too.
func planted(own string) (end func() error, err error) {
	lost, err := os.CreateTemp("", "search-")
	if err != nil {
		return nil, err
	}
	defer lost.Close()
	if err := os.Remove(lost.Name()); err != nil {
		return nil, err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	known, err := os.CreateTemp(home, "search-")
	if err != nil {
		return nil, err
	}
	defer known.Close()
	for _, file := range []*os.File{lost, known} {
		if _, err := file.WriteString(own); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("/proc/self/exe", "hold", own) //nolint:noctx // end ends it
	cmd.Env, cmd.ExtraFiles = []string{"OWN=" + own}, []*os.File{lost}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	return func() error {
		_ = stdin.Close() // it ends
		_ = os.Remove(known.Name())
		return cmd.Wait()
	}, nil
}

// hold has a text in its memory until its input ends.
func hold(own string, in io.Reader, out io.Writer) error {
	held := strings.Repeat(own, 2)
	fmt.Fprintln(out, "held")
	_, err := io.Copy(io.Discard, in)
	runtime.KeepAlive(held)
	return err
}
