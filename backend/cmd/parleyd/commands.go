package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

// drain is how long a stopping server waits for what it has accepted.
const drain = 10 * time.Second

// drainPause is how long serve goes on taking requests when it is to stop, so
// that a balancer sees that it is not ready before connections are refused.
const drainPause = 500 * time.Millisecond

// place is where the data is: the flags that every subcommand has.
type place struct{ data, database *string }

func placeFlags(fs *flag.FlagSet) place {
	return place{
		data:     fs.String("data", "", "folder of the SQLite database and the files"),
		database: fs.String("database", "", "postgres://… instead of SQLite in --data"),
	}
}

func (pl place) check() error {
	if *pl.data == "" {
		return chat.Invalid("data", "Say where the data is to be: --data DIR.")
	}
	return nil
}

func (p program) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(p.stderr, nil)) }

// store opens the database, and makes it where there is none.
func (p program) store(ctx context.Context, pl place) (*store.Store, error) {
	if err := pl.check(); err != nil {
		return nil, err
	}
	return store.Open(ctx, pl.options(p.logger()))
}

// existing opens a database that must be there: a mistyped --data must not
// become a new, empty one.
func (p program) existing(ctx context.Context, pl place, readOnly bool) (*store.Store, error) {
	if err := pl.check(); err != nil {
		return nil, err
	}
	opt := pl.options(p.logger())
	opt.MustExist, opt.ReadOnly = true, readOnly
	return store.Open(ctx, opt)
}

// existingBackend opens the server on a database that must be there.
func (p program) existingBackend(ctx context.Context, pl place) (*server.Server, error) {
	st, err := p.existing(ctx, pl, false)
	if err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	return p.backend(ctx, pl, "", "")
}

func (pl place) options(log *slog.Logger) store.Options {
	return store.Options{Data: *pl.data, Database: *pl.database, Log: log,
		Now: func() chat.Time { return chat.TimeOf(time.Now()) }}
}

// backend opens the server without listening.
func (p program) backend(ctx context.Context, pl place, listen, publicURL string, proxies ...string) (*server.Server, error) {
	if err := pl.check(); err != nil {
		return nil, err
	}
	return server.New(ctx, server.Config{Listen: listen, Data: *pl.data, Database: *pl.database,
		PublicURL: publicURL, TrustedProxy: proxies, Log: p.logger(), Version: version,
		DrainPause: drainPause})
}

func (p program) init(ctx context.Context, args []string) (err error) {
	fs := flag.NewFlagSet("init", flag.ContinueOnError)
	pl := placeFlags(fs)
	workspace, email := fs.String("workspace", "", "the company's name"), fs.String("email", "", "the owner's e-mail")
	name := fs.String("name", "", "the owner's name")
	fromStdin, asJSON := passwordFlags(fs)
	if err := p.flags(fs, args); err != nil {
		return err
	}
	password, err := p.password(*fromStdin)
	if err != nil {
		return err
	}
	srv, err := p.backend(ctx, pl, "", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown(srv)) }()
	created, err := srv.Setup(ctx, protocol.Setup{Workspace: *workspace, Email: *email, Name: *name, Password: password})
	if err != nil {
		return err
	}
	return p.say(*asJSON, created, "Workspace %s is ready. Its share-link page is /c/%s, its widget key %s.\n",
		*workspace, created.Channel.Slug, created.Channel.Key)
}

func (p program) member(ctx context.Context, args []string) (err error) {
	if len(args) == 0 || args[0] != "add" {
		return chat.Errorf(chat.CodeInvalid, "What to do with a member? There is: parleyd member add.")
	}
	fs := flag.NewFlagSet("member add", flag.ContinueOnError)
	pl := placeFlags(fs)
	add := protocol.MemberAdd{}
	fs.StringVar(&add.Email, "email", "", "e-mail to sign in with")
	fs.StringVar(&add.Name, "name", "", "the member's name")
	role := fs.String("role", string(chat.RoleAgent), "owner, admin, supervisor or agent")
	var brands idList
	fs.Var(&brands, "brand", "id of a brand the member may see; may be repeated; none: all brands")
	fromStdin, asJSON := passwordFlags(fs)
	if err := p.flags(fs, args[1:]); err != nil {
		return err
	}
	if add.Password, err = p.password(*fromStdin); err != nil {
		return err
	}
	add.Role, add.Brands = chat.Role(*role), brands
	srv, err := p.existingBackend(ctx, pl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown(srv)) }()
	m, err := srv.AddMember(ctx, add)
	if err != nil {
		return err
	}
	return p.say(*asJSON, m, "%s may sign in with %s.\n", m.Name, m.Email)
}

func (p program) serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	pl := placeFlags(fs)
	listen := fs.String("listen", "127.0.0.1:8787", "address to serve on")
	public := fs.String("public-url", "", "where customers reach this server; default: http:// and --listen")
	proxies := fs.String("trusted-proxy", "", "networks of the proxies in front, with commas between: their X-Forwarded-For is believed")
	later := map[string]*string{}
	for _, name := range []string{"files", "nats"} {
		later[name] = fs.String(name, "", "not available in this version")
	}
	if err := p.flags(fs, args); err != nil {
		return err
	}
	for name, value := range later {
		if *value != "" {
			return chat.Invalid(name, "--%s is not available in this version. Start without it.", name)
		}
	}
	if err := checkPublicURL(*public); err != nil {
		return err
	}
	srv, err := p.backend(ctx, pl, *listen, *public, strings.Split(*proxies, ",")...)
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return errors.Join(err, shutdown(srv))
	}
	<-ctx.Done()
	return shutdown(srv)
}

// checkPublicURL refuses what customers' browsers could not open; "" is the
// address to listen on.
func checkPublicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return chat.Invalid("public-url", "--public-url %q is not an address that customers can open. Give one like https://chat.example.com.", s)
	}
	return nil
}

func (p program) migrate(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("migrate", flag.ContinueOnError)
	pl := placeFlags(fs)
	if err := p.flags(fs, args); err != nil {
		return err
	}
	st, err := p.existing(ctx, pl, false) // opening migrates
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "The database is up to date.")
	return st.Close()
}

func (p program) backup(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("backup", flag.ContinueOnError)
	pl := placeFlags(fs)
	file, err := p.fileArgument(fs, args)
	if err != nil {
		return err
	}
	if err := pl.check(); err != nil {
		return err
	}
	// Nothing is written where the data is: its disk may be full, or have to be left alone.
	opt := pl.options(p.logger())
	opt.MustExist, opt.ReadOnly, opt.AnyVersion, opt.Scratch = true, true, true, filepath.Dir(file)
	st, err := store.Open(ctx, opt)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Backup(ctx, file); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "The database is in %s. Copy the folder files as well.\n", file)
	return nil
}

func (p program) restore(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("restore", flag.ContinueOnError)
	pl := placeFlags(fs)
	file, err := p.fileArgument(fs, args)
	if err != nil {
		return err
	}
	if err := pl.check(); err != nil {
		return err
	}
	if err := store.Restore(ctx, file, pl.options(p.logger())); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "Restored. Desktops will notice and load anew.")
	return nil
}

func (p program) check(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	pl := placeFlags(fs)
	if err := p.flags(fs, args); err != nil {
		return err
	}
	st, err := p.existing(ctx, pl, true)
	if err != nil {
		return err
	}
	defer st.Close()
	found, err := st.Check(ctx)
	if err != nil {
		return err
	}
	missing, err := checkFiles(ctx, st, filepath.Join(*pl.data, "files"))
	if err != nil {
		return err
	}
	found = append(found, missing...)
	for _, d := range found {
		fmt.Fprintln(p.stdout, d)
	}
	if len(found) > 0 {
		return chat.Errorf(chat.CodeConflict, "%d values differ from a recount.", len(found))
	}
	fmt.Fprintln(p.stdout, "Every derived value agrees with a recount, the change log has no gap, and every file is there.")
	return nil
}

// checkFiles compares what the database knows of files with the folder. It
// looks at names and sizes: a name is the hash of what was stored under it.
func checkFiles(ctx context.Context, st *store.Store, folder string) (found []store.Difference, err error) {
	var files *blob.Folder // nil: there is no folder, and a check makes none
	if _, missing := os.Stat(folder); missing == nil {
		if files, err = blob.Open(folder); err != nil {
			return nil, err
		}
	}
	err = st.Files(ctx, func(ws chat.WorkspaceID, f chat.File) error {
		want, stored := fmt.Sprintf("%d bytes", f.Size), "missing"
		if files != nil && files.Has(f.SHA256) {
			content, size, err := files.Open(f.SHA256)
			if err != nil {
				return err
			}
			if err := content.Close(); err != nil {
				return fmt.Errorf("check files: %w", err)
			}
			stored = fmt.Sprintf("%d bytes", size)
		}
		if stored != want {
			found = append(found, store.Difference{Workspace: ws, Kind: "file", ID: f.SHA256, Field: "content", Stored: stored, Want: want})
		}
		return nil
	})
	return found, err
}

func (p program) version(context.Context, []string) error {
	_, err := fmt.Fprintf(p.stdout, "parleyd %s, protocol %s\n", version, protocol.Version)
	return err
}

func (p program) fileArgument(fs *flag.FlagSet, args []string) (string, error) {
	rest, err := parse(fs, args, p.getenv)
	if err != nil {
		return "", err
	}
	if len(rest) != 1 {
		return "", chat.Errorf(chat.CodeInvalid, "One file is wanted: parleyd %s FILE.", fs.Name())
	}
	return rest[0], nil
}

func passwordFlags(fs *flag.FlagSet) (fromStdin, asJSON *bool) {
	return fs.Bool("password-stdin", false, "read the password from standard input"),
		fs.Bool("json", false, "answer as JSON")
}

// password reads one line. A password never stands on the command line, where
// every process of the machine could read it.
func (p program) password(fromStdin bool) (string, error) {
	if !fromStdin {
		return "", chat.Invalid("password-stdin", "Give the password on standard input, with --password-stdin.")
	}
	line, err := bufio.NewReader(io.LimitReader(p.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// say prints an answer for people, or the value as JSON.
func (p program) say(asJSON bool, v any, format string, args ...any) error {
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(v)
	}
	_, err := fmt.Fprintf(p.stdout, format, args...)
	return err
}

func shutdown(srv *server.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return srv.Shutdown(ctx)
}
