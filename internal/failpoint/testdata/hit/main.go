// Command hit passes the points named by its arguments, one after the other.
package main

import (
	"fmt"
	"os"

	"claude-bottle/internal/failpoint"
)

func main() {
	for _, name := range os.Args[1:] {
		if err := failpoint.Hit(name); err != nil {
			fmt.Println("error:", err)
			os.Exit(3)
		}
		fmt.Println("passed", name)
	}
}
