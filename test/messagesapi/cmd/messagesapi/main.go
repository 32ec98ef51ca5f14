// Command messagesapi serves the local Messages API until it is interrupted.
// With --ca it speaks TLS and writes the certificate of its authority there.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"claude-bottle/test/messagesapi"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "the `address` to listen on")
	ca := flag.String("ca", "", "speak TLS and write the authority's certificate to this `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, *ca); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// serve prints the address on standard output once it accepts connections
// and the certificate is there.
func serve(ctx context.Context, address, ca string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &messagesapi.Server{Log: log.New(os.Stderr, "messagesapi: ", log.Ltime)}
	if ca == "" {
		fmt.Println(listener.Addr())
		return server.Serve(ctx, listener, nil)
	}
	authority, err := messagesapi.NewAuthority()
	if err != nil {
		return err
	}
	config, err := authority.TLS()
	if err != nil {
		return err
	}
	if err := os.WriteFile(ca, authority.PEM(), 0o644); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	fmt.Println(listener.Addr())
	return server.Serve(ctx, listener, config)
}
