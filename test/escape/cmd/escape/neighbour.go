//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// neighbourPort is where a bottle that is attacked listens.
const neighbourPort = 7777

// neighbour is a bottle that is attacked: it listens wherever it can, says
// where (JSON, one line), and from then on a line for each that it hears. It
// ends with its standard input. Its argument is the name of a unix socket
// without a file.
func neighbour(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	heard := make(chan string)
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{Port: neighbourPort})
	if err != nil {
		return err
	}
	packets, err := net.ListenUDP("udp", &net.UDPAddr{Port: neighbourPort})
	if err != nil {
		return err
	}
	abstract, err := net.Listen("unix", args[0]) //nolint:noctx // at once
	if err != nil {
		return err
	}
	go accept(listener, heard)
	go accept(abstract, heard)
	go func() {
		for buffer := make([]byte, 512); ; {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte("neighbour"), from) // whoever it was is said below
			heard <- "udp " + from.String()
		}
	}()
	addresses := []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), neighbourPort)}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, address := range list {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && !prefix.Addr().IsLoopback() {
			addresses = append(addresses, netip.AddrPortFrom(prefix.Addr(), neighbourPort))
		}
	}
	if err := json.NewEncoder(out).Encode(addresses); err != nil {
		return err
	}
	ended := untilEnd(in)
	for {
		select {
		case <-ended:
			return nil
		case from := <-heard:
			fmt.Fprintln(out, from)
		}
	}
}

func accept(listener net.Listener, heard chan<- string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "neighbour") // whoever it was is said below
		_ = conn.Close()
		heard <- listener.Addr().Network() + " " + conn.RemoteAddr().String()
	}
}

// wait says so and ends with its standard input. When it is asked to end before
// (SIGTERM), its argument is the code that it does so with, or "never".
func wait(_ context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) > 0 && args[0] == "never" {
		signal.Ignore(syscall.SIGTERM)
	} else if len(args) > 0 {
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		go func() {
			<-asked
			os.Exit(code) //nolint:forbidigo // a program that ends when it is asked to
		}()
	}
	fmt.Fprintln(out, "waiting")
	_, err := io.Copy(io.Discard, in)
	return err
}
