// Command parley is the desktop app: a native window, the engine behind it,
// and, unless a server is given, a backend inside the same program.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"parley/backend/desktop"
)

// version is set by the build.
var version = "0.1.0"

//go:embed all:frontend/dist
var dist embed.FS

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are what the command line says.
type options struct {
	data        string
	server      string
	bridge      string
	bridgeToken string
	version     bool
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("parley", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.data, "data", os.Getenv("PARLEY_DATA"), "folder for everything this program keeps")
	flags.StringVar(&o.server, "server", "", "address of the server to sign in to, instead of the backend inside")
	flags.StringVar(&o.bridge, "bridge", "", "serve the window to a browser on this loopback address, for development and tests")
	flags.StringVar(&o.bridgeToken, "bridge-token", "", "token for --bridge; a random one if empty")
	flags.BoolVar(&o.version, "version", false, "print the version and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if o.data == "" {
		folder, err := dataFolder()
		if err != nil {
			return o, err
		}
		o.data = folder
	}
	data, err := filepath.Abs(o.data)
	if err != nil {
		return o, fmt.Errorf("find data folder: %w", err)
	}
	o.data = data
	return o, nil
}

// dataFolder is where a user's data goes on this system.
func dataFolder() (string, error) {
	if runtime.GOOS == "linux" {
		if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "parley"), nil
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find data folder: %w", err)
		}
		return filepath.Join(home, ".local", "share", "parley"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find data folder: %w", err)
	}
	return filepath.Join(dir, "Parley"), nil
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "parley:", err)
		return 2
	case o.version:
		fmt.Fprintln(stdout, "parley", version)
		return 0
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	assets, err := fs.Sub(dist, "frontend/dist")
	if err != nil {
		fmt.Fprintln(stderr, "parley:", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	show := showWindow
	if o.bridge != "" {
		show = showPage
	}
	if err := show(ctx, o, assets, stdout, log); err != nil {
		fmt.Fprintln(stderr, "parley:", err)
		return 1
	}
	return 0
}

// openEngine opens the data folder. One that cannot be used gives an engine
// that says so in the window, and the error.
func openEngine(ctx context.Context, o options, w desktop.Window, shown <-chan struct{}, log *slog.Logger) (*desktop.Engine, error) {
	opt := desktop.Options{Data: o.data, Version: version, DefaultServer: o.server, Window: w, Shown: shown, Log: log,
		Embedded: &embedded{data: filepath.Join(o.data, "server"), log: log}}
	engine, err := desktop.Open(ctx, opt)
	if err != nil {
		log.Error("open engine", "data", o.data, "error", err)
		return desktop.Unusable(err, opt), err
	}
	return engine, nil
}

// engines gives the engine. That of a data folder that could not be used is
// replaced when the person tries again and the folder can.
type engines struct {
	open func() (*desktop.Engine, error)

	mu     sync.Mutex // held while opening
	engine *desktop.Engine
	err    error // why the engine can do nothing
}

// get waits until the engine is open.
func (e *engines) get() *desktop.Engine {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.engine == nil {
		e.engine, e.err = e.open()
	}
	return e.engine
}

// retry tries again what the engine waits for: the data folder itself, if that
// could not be used.
func (e *engines) retry() error {
	engine := e.get()
	e.mu.Lock()
	if e.err == nil {
		engine = e.engine // another click has opened it
		e.mu.Unlock()
		return engine.Retry()
	}
	defer e.mu.Unlock()
	e.engine, e.err = e.open()
	return errors.Join(e.err, engine.Close())
}

const closeTimeout = 15 * time.Second
