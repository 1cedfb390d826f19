// Command parleyd is Parley's hosted backend: it keeps the workspaces, decides
// every command, and serves desktops, widgets and share-link pages.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"parley/backend/chat"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is one run of parleyd with what it may touch, so that tests run it
// whole.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// run does one subcommand and gives the exit code: 0 done, 1 it did not work
// (or check found a difference), 2 the call's words are off.
func (p program) run(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		fmt.Fprint(p.stdout, overview)
		return 0
	}
	commands := map[string]func(context.Context, []string) error{
		"init": p.init, "serve": p.serve, "member": p.member, "channel": p.channel, "demo": p.demo, "migrate": p.migrate,
		"backup": p.backup, "restore": p.restore, "check": p.check, "version": p.version,
	}
	do, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(p.stderr, "parleyd: there is no subcommand %q.\n%s", args[0], overview)
		return 2
	}
	err := do(ctx, args[1:])
	var help *helpWanted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &help):
		fmt.Fprint(p.stdout, help.text)
		return 0
	}
	fmt.Fprintf(p.stderr, "parleyd: %v\n", err)
	if chat.ErrorCode(err) == chat.CodeInvalid {
		return 2
	}
	return 1
}

const overview = `parleyd, the backend of Parley

  parleyd init --data DIR --workspace NAME --email E --password-stdin [--json]
  parleyd serve --data DIR [--listen HOST:PORT] [--database postgres://…] [--public-url URL]
  parleyd member add --data DIR --email E --name N --role agent [--brand ID] --password-stdin [--json]
  parleyd channel set --data DIR [--channel ID] [--origin URL]… [--title T] [--show-secret] [--json]
  parleyd demo --data DIR [--conversations N] [--messages M] [--seed S] [--now TIME]
  parleyd migrate --data DIR
  parleyd backup FILE --data DIR
  parleyd restore FILE --data DIR
  parleyd check --data DIR
  parleyd version

Each flag is also an environment variable (--data is PARLEYD_DATA) and a key of
the file given by --config. 'parleyd SUBCOMMAND --help' lists the flags.
`
