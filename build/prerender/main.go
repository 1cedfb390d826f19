// Command prerender compiles the script that draws the window's first picture: prerender SCRIPT CODE.
package main

import (
	"fmt"
	"os"

	"parley/backend/desktop/prerender"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "prerender:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("wanted SCRIPT CODE, got %q", args)
	}
	source, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	code, err := prerender.Compile(string(source))
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], code, 0o644)
}
