// Command talk is a program in Go, as anybody would write one: it asks a site
// for /hello and speaks with its WebSocket.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/coder/websocket"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(site string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+site+"/hello", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	conn, _, err := websocket.Dial(ctx, "wss://"+site+"/talk", nil) //nolint:bodyclose // it is the connection
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(ctx, websocket.MessageText, []byte("a word")); err != nil {
		return err
	}
	_, message, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("websocket %s\n", message)
	return conn.Close(websocket.StatusNormalClosure, "")
}
