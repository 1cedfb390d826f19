package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"parley/backend/chat"
)

// environment prefixes the names of flags: --public-url is PARLEYD_PUBLIC_URL.
const environment = "PARLEYD_"

// parse reads the flags of one subcommand: a flag on the command line wins
// over the environment, the environment over the file given by --config.
// Arguments that are not flags are returned.
func parse(fs *flag.FlagSet, args []string, getenv func(string) string) ([]string, error) {
	fs.SetOutput(io.Discard) // errors are returned; main prints them once
	config := fs.String("config", "", "file with `key: value` lines, one per flag")
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, usage(fs, err)
		}
		if fs.NArg() == 0 {
			break
		}
		rest = append(rest, fs.Arg(0)) // flags may follow an argument: `backup FILE --data DIR`
		args = fs.Args()[1:]
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })

	file := map[string]string{}
	if *config == "" {
		*config = getenv(environment + "CONFIG")
	}
	if *config != "" {
		var err error
		if file, err = readConfig(*config); err != nil {
			return nil, err
		}
	}
	var failed error
	fs.VisitAll(func(f *flag.Flag) {
		if given[f.Name] || f.Name == "config" || failed != nil {
			return
		}
		from, value := environment+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), ""
		if value = getenv(from); value == "" {
			from, value = *config, file[f.Name]
		}
		if value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			failed = chat.Invalid(f.Name, "%q from %s is not a value for --%s.", value, from, f.Name)
		}
	})
	return rest, failed
}

// flags parses the flags of a subcommand that takes no arguments: a word that
// would be dropped was meant to say something.
func (p program) flags(fs *flag.FlagSet, args []string) error {
	rest, err := parse(fs, args, p.getenv)
	if err == nil && len(rest) > 0 {
		err = chat.Errorf(chat.CodeInvalid, "parleyd %s takes no argument %q. 'parleyd %s --help' lists its flags.", fs.Name(), rest[0], fs.Name())
	}
	return err
}

// readConfig reads `key: value` lines; # begins a comment. Keys that a
// subcommand does not have are left to the others, so one file serves all.
func readConfig(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	values := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, found := strings.Cut(line, ":")
		if !found {
			return nil, chat.Errorf(chat.CodeInvalid, "%s, line %d: `key: value` is wanted, like `listen: 127.0.0.1:8787`.", name, n)
		}
		key = strings.ReplaceAll(strings.TrimSpace(key), "_", "-")
		values[key] = strings.Trim(strings.TrimSpace(value), `"'`)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", name, err)
	}
	return values, nil
}

// usage turns a flag error into a sentence with the flags there are.
func usage(fs *flag.FlagSet, err error) error {
	var b strings.Builder
	fs.SetOutput(&b)
	fs.PrintDefaults()
	fs.SetOutput(io.Discard)
	if err == flag.ErrHelp {
		return &helpWanted{text: "parleyd " + fs.Name() + "\n" + b.String()}
	}
	return chat.Errorf(chat.CodeInvalid, "%v\nThe flags of parleyd %s:\n%s", err, fs.Name(), b.String())
}

// helpWanted is the answer to --help: not an error, but nothing else is done.
type helpWanted struct{ text string }

func (h *helpWanted) Error() string { return h.text }

// idList is a flag that may be repeated.
type idList []chat.BrandID

func (l *idList) String() string { return fmt.Sprint([]chat.BrandID(*l)) }

func (l *idList) Set(s string) error {
	id, err := chat.ParseID[chat.Brand](s)
	if err != nil {
		return err
	}
	*l = append(*l, id)
	return nil
}
