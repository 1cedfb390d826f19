package cache

import (
	"context"
	"database/sql"

	"parley/backend/chat"
)

// Told gives what was noted as told, with the moment of each.
func (l *Local) Told(ctx context.Context) (map[string]chat.Time, error) {
	type mark struct {
		entry string
		at    chat.Time
	}
	all, err := readLocal(ctx, l, "read what was told", "select entry, at from told", nil, func(rows *sql.Rows) (m mark, err error) {
		err = rows.Scan(&m.entry, &m.at)
		return m, err
	})
	if err != nil {
		return nil, err
	}
	told := make(map[string]chat.Time, len(all))
	for _, m := range all {
		told[m.entry] = m.at
	}
	return told, nil
}

// NoteTold notes that entries were told at a moment, and forgets that of others,
// which may come up again.
func (l *Local) NoteTold(ctx context.Context, at chat.Time, entries, over []string) error {
	return l.write(ctx, "note what was told", func(tx *sql.Tx) error {
		for _, entry := range entries {
			if _, err := tx.Exec("insert or ignore into told (entry, at) values (?, ?)", entry, int64(at)); err != nil {
				return err
			}
		}
		for _, entry := range over {
			if _, err := tx.Exec("delete from told where entry = ?", entry); err != nil {
				return err
			}
		}
		return nil
	})
}
