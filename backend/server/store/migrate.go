package store

import (
	"embed"
	"fmt"
	"regexp"

	"parley/backend/chat"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations gives the schema's steps: step i leads from version i to i+1.
// Steps are only ever added.
func migrations() ([]string, error) {
	var steps []string
	entries, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	for i, e := range entries {
		if want := fmt.Sprintf("%04d.sql", i+1); e.Name() != want {
			return nil, fmt.Errorf("read migrations: found %s, want %s", e.Name(), want)
		}
		text, err := migrationFiles.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		steps = append(steps, string(text))
	}
	return steps, nil
}

var createTable = regexp.MustCompile(`(?m)^create table (\w+) \(`)

// tablesOf names the tables that these steps make, in an order that foreign
// keys allow.
func tablesOf(steps []string) []string {
	var names []string
	for _, step := range steps {
		for _, m := range createTable.FindAllStringSubmatch(step, -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// settled refuses a place whose schema has this version when the options ask
// for another, and reports whether it is to be opened as it is.
func (opt Options) settled(where string, version int, steps []string) (readOnly bool, err error) {
	switch {
	case version == 0 && (opt.MustExist || opt.ReadOnly):
		return false, chat.Errorf(chat.CodeNotFound, "%s holds no data of a Parley server yet. Nothing was made there; is this the right place?", where)
	case version < len(steps) && opt.ReadOnly && !opt.AnyVersion:
		return false, chat.Errorf(chat.CodeConflict, "%s was written by an older Parley. Bring it up to date first: parleyd migrate.", where)
	}
	return opt.ReadOnly, nil
}

func errForeign(where string) error {
	return chat.Errorf(chat.CodeConflict, "%s is not a database of a Parley server. It was left as it is; choose another place for the data.", where)
}

func errNewer(where string, version, known int) error {
	return chat.Errorf(chat.CodeConflict,
		"%s was written by a newer Parley (schema %d; this program knows up to %d). It was left as it is; start the newer program.", where, version, known)
}

func errDamaged(where string, cause error) error {
	return &chat.Error{Code: chat.CodeConflict, Cause: cause,
		Message: where + " is damaged. It was left as it is; restore a backup or choose another place for the data."}
}
