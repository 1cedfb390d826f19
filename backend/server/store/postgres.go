package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"parley/backend/chat"
)

const (
	postgresWriters = 6
	postgresReaders = 10
	connectTimeout  = 10 * time.Second
	// migrationLock is the advisory lock that lets one process migrate at a time.
	migrationLock = 0x5061726c6579
)

// postgresParams are set on each connection unless the URL says otherwise.
// Nothing may hang for ever: the writer holds a lock that others wait for.
var postgresParams = map[string]string{
	"application_name": "parleyd", "synchronous_commit": "on", "client_encoding": "UTF8", "statement_timeout": "60s",
	"lock_timeout": "30s", "idle_in_transaction_session_timeout": "60s", "default_transaction_isolation": "read committed",
}

func (s *Store) openPostgres(ctx context.Context, opt Options, steps []string) error {
	cfg, err := pgx.ParseConfig(opt.Database)
	if err != nil {
		return chat.Errorf(chat.CodeInvalid, "The database address is not a PostgreSQL URL (postgres://user:password@host/database).")
	}
	for name, value := range postgresParams {
		if _, set := cfg.RuntimeParams[name]; !set {
			cfg.RuntimeParams[name] = value
		}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	where := "The database " + strconv.Quote(cfg.Database)
	s.w = stdlib.OpenDB(*cfg)
	s.w.SetMaxOpenConns(postgresWriters)
	s.w.SetMaxIdleConns(postgresWriters)
	if opt.MustExist || opt.ReadOnly {
		version, err := inspectPostgres(ctx, s.w, where, steps)
		if err != nil {
			return err
		}
		asItIs, err := opt.settled(where, version, steps)
		if err != nil {
			return err
		}
		if asItIs {
			steps = steps[:version]
		}
	}
	s.steps = steps
	if err := migratePostgres(ctx, s.w, s.d, where, steps); err != nil {
		return err
	}
	s.r = stdlib.OpenDB(*cfg)
	s.r.SetMaxOpenConns(postgresReaders)
	s.r.SetMaxIdleConns(postgresReaders)
	return s.r.PingContext(ctx)
}

func migratePostgres(ctx context.Context, db *sql.DB, d *dialect, where string, steps []string) (err error) {
	version, err := inspectPostgres(ctx, db, where, steps)
	if err != nil || version == len(steps) {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if rollback := tx.Rollback(); !errors.Is(rollback, sql.ErrTxDone) {
				err = errors.Join(err, rollback)
			}
		}
	}()
	if _, err := tx.ExecContext(ctx, `set local statement_timeout = 0; set local lock_timeout = 0; select pg_advisory_xact_lock(`+
		strconv.Itoa(migrationLock)+`)`); err != nil {
		return err
	}
	if version, err = inspectPostgres(ctx, tx, where, steps); err != nil { // another process may have been first
		return err
	}
	if version == 0 {
		if _, err := tx.ExecContext(ctx, `create table parley_meta (name text primary key, value text not null)`); err != nil {
			return err
		}
	}
	for ; version < len(steps); version++ {
		if _, err := tx.ExecContext(ctx, d.translate(steps[version])); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, `insert into parley_meta (name, value) values ('schema', $1)
		on conflict (name) do update set value = excluded.value`, strconv.Itoa(version)); err != nil {
		return err
	}
	return tx.Commit()
}

// inspectPostgres tells the schema version, 0 for an empty schema, and refuses
// what is not ours, not whole or not understood. It changes nothing.
func inspectPostgres(ctx context.Context, q querier, where string, steps []string) (int, error) {
	found := map[string]bool{}
	rows, err := q.QueryContext(ctx, `select c.relname from pg_catalog.pg_class c
		join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = current_schema() and c.relkind in ('r', 'p', 'v', 'm')`)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return 0, errors.Join(err, rows.Close())
		}
		found[name] = true
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	if len(found) == 0 {
		return 0, nil
	}
	if !found["parley_meta"] {
		return 0, errForeign(where)
	}
	var text string
	if err := q.QueryRowContext(ctx, `select value from parley_meta where name = 'schema'`).Scan(&text); err != nil {
		return 0, errDamaged(where, err)
	}
	version, err := strconv.Atoi(text)
	switch {
	case err != nil || version < 1:
		return 0, errDamaged(where, fmt.Errorf("schema version %q", text))
	case version > len(steps):
		return 0, errNewer(where, version, len(steps))
	}
	for _, table := range tablesOf(steps[:version]) {
		if !found[table] {
			return 0, errDamaged(where, errors.New("table "+table+" is missing"))
		}
	}
	return version, nil
}
