package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
)

// maxBatch is how many functions share a commit at most.
const maxBatch = 128

// batchTimeout is how long a transaction on PostgreSQL may take in all.
const batchTimeout = 5 * time.Minute

// job is one function waiting for its turn.
type job struct {
	ws    chat.WorkspaceID
	run   func(*Tx) error
	bare  bool // the workspace need not exist yet: the counter row is not read
	state atomic.Int32
	done  chan error // capacity 1
}

// The states of a job. Who moves it from waiting decides what becomes of it.
const (
	jobWaiting = iota
	jobTaken   // by the writer: its outcome must be waited for
	jobLeft    // by its caller, whose context ended
)

// queue collects the jobs for one writer: all of a SQLite database, or of one
// workspace on PostgreSQL. A goroutine works as long as there are jobs.
type queue struct {
	mu      sync.Mutex
	jobs    []*job
	working bool
}

// Update runs fn in a transaction that holds the workspace's writer lock, and
// returns once its commit is durable; or with fn's error, its effects undone;
// or with the commit's. A panic of fn is returned as an error. If ctx ends
// while fn waits for its turn, fn is not run; later the outcome is waited for.
//
// fn runs on the writer's goroutine: it must not block or call Update, and
// tx is valid only until it returns. A statement that failed undoes fn even if
// fn returns nil.
func (s *Store) Update(ctx context.Context, ws chat.WorkspaceID, fn func(tx *Tx) error) error {
	return s.submit(ctx, &job{ws: ws, run: fn})
}

// CreateWorkspace makes an empty workspace with its own, empty change log.
func (s *Store) CreateWorkspace(ctx context.Context, w chat.Workspace) error {
	return s.NewWorkspace(ctx, w, func(*Tx) error { return nil })
}

// NewWorkspace makes a workspace and runs fill in it, as Update does, in one
// transaction: there is never a workspace without what fill puts into it.
func (s *Store) NewWorkspace(ctx context.Context, w chat.Workspace, fill func(tx *Tx) error) error {
	return s.submit(ctx, &job{ws: w.ID, bare: true, run: func(tx *Tx) error {
		if err := tx.createWorkspace(w); err != nil {
			return err
		}
		return fill(tx)
	}})
}

func (s *Store) submit(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.done = make(chan error, 1)
	if err := s.enqueue(j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobLeft) {
			return ctx.Err()
		}
		return <-j.done
	}
}

func (s *Store) enqueue(j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return chat.Errorf(chat.CodeUnavailable, "The server is shutting down. Please try again.")
	}
	if s.readOnly {
		return chat.Errorf(chat.CodeUnavailable, sayReadOnly)
	}
	if s.damaged.Load() {
		return chat.Errorf(chat.CodeUnavailable, sayHalted)
	}
	key := chat.WorkspaceID{}
	if s.d.postgres {
		key = j.ws
	}
	q := s.queues[key]
	if q == nil {
		q = &queue{}
		s.queues[key] = q
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, j)
	if !q.working {
		q.working = true
		s.start(q)
	}
	return nil
}

// start runs the queue's goroutine. A function that ends its own goroutine
// (as tests do when they fail) ends this one; the next takes over.
func (s *Store) start(q *queue) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		finished := false
		defer func() {
			if !finished {
				s.start(q)
			}
		}()
		for {
			jobs := q.take()
			if jobs == nil {
				finished = true
				return
			}
			s.commit(jobs)
		}
	}()
}

// take gives the next jobs, or none and the end of the work.
func (q *queue) take() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		q.working = false
		q.jobs = nil
		return nil
	}
	n := min(len(q.jobs), maxBatch)
	jobs := slices.Clone(q.jobs[:n])
	q.jobs = slices.Delete(q.jobs, 0, n)
	return jobs
}

// commit runs jobs in one transaction and answers each.
func (s *Store) commit(jobs []*job) {
	jobs = slices.DeleteFunc(jobs, func(j *job) bool { return !j.state.CompareAndSwap(jobWaiting, jobTaken) })
	if len(jobs) == 0 {
		return
	}
	b := &batch{s: s, ctx: context.Background(), cancel: func() {}, counters: map[chat.WorkspaceID]*counter{}, outcomes: make([]error, len(jobs))}
	if s.d.postgres { // a network may swallow everything; a file answers, and a context would cost a goroutine for each statement
		b.ctx, b.cancel = context.WithTimeout(b.ctx, batchTimeout)
	}
	fatal := errors.New("the function ended its goroutine")
	defer func() { // also when a function ends this goroutine: nobody may wait for ever
		if fatal != nil {
			fatal = errors.Join(fatal, b.rollback())
		}
		b.release()
		for i, j := range jobs {
			if fatal != nil { // also those that were refused: what they read never came to be
				j.done <- wrap("commit", fatal)
				continue
			}
			j.done <- b.outcomes[i]
		}
	}()
	if err := b.begin(); err != nil {
		fatal = err
		return
	}
	for i, j := range jobs {
		b.outcomes[i] = b.one(j, len(jobs) > 1)
		if b.dead != nil {
			fatal = b.dead
			return
		}
	}
	fatal = b.finish()
}

// batch is one transaction shared by several jobs.
type batch struct {
	s        *Store
	ctx      context.Context
	cancel   context.CancelFunc
	conn     *sql.Conn
	open     bool // a transaction is open
	saved    bool // the savepoint exists
	clean    bool // … and nothing happened since
	counters map[chat.WorkspaceID]*counter
	changes  []logged
	outcomes []error
	dead     error // the transaction cannot go on
}

// counter is a workspace's counter row, as it will be after the commit.
type counter struct {
	head, floor int64
	epoch       string
	dirty       bool
}

// logged is a change waiting to be written at the end of the transaction.
type logged struct {
	ws []byte
	chat.Change
}

func (b *batch) reader(ws chat.WorkspaceID) reader {
	return reader{ctx: b.ctx, q: b.conn, d: b.s.d, ws: ws.Bytes()}
}

func (b *batch) do(statement string) error {
	_, err := b.conn.ExecContext(b.ctx, statement)
	return err
}

func (b *batch) begin() error {
	b.conn = b.s.conn
	statement := `begin immediate`
	if b.s.d.postgres {
		conn, err := b.s.w.Conn(b.ctx)
		if err != nil {
			return err
		}
		b.conn, statement = conn, `begin`
	}
	if err := b.do(statement); err != nil {
		return err
	}
	b.open = true
	return nil
}

// release gives the connection back; SQLite's stays.
func (b *batch) release() {
	defer b.cancel()
	if b.s.d.postgres && b.conn != nil {
		if err := b.conn.Close(); err != nil && !gone(err) {
			b.s.log.Warn("give back connection", "error", err)
		}
	}
}

func (b *batch) rollback() error {
	if !b.open {
		return nil
	}
	b.open = false
	err := b.do(`rollback`)
	if gone(err) || b.dead != nil && !b.s.d.postgres {
		return nil // with its connection, or SQLite has rolled back by itself: the cause is known
	}
	if err != nil && b.s.d.postgres { // never give back a connection with an open transaction
		if raw := b.conn.Raw(func(any) error { return driver.ErrBadConn }); !gone(raw) {
			err = errors.Join(err, raw)
		}
	}
	return err
}

// gone reports whether the connection is no more, and its transaction with it.
func gone(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// one runs a job under its savepoint, and undoes it if it fails. A job that is
// alone needs no savepoint: undoing it undoes the transaction.
func (b *batch) one(j *job, shared bool) error {
	c, err := b.counter(j)
	if err != nil {
		if known := chat.ErrorCode(err); known != chat.CodeNotFound {
			b.dead = err
		}
		return err
	}
	if shared {
		if b.dead = b.savepoint(); b.dead != nil {
			return b.dead
		}
	}
	before, changes := *c, len(b.changes)
	tx := &Tx{b: b, c: c, id: j.ws, now: b.s.now()}
	tx.r = b.reader(j.ws)
	tx.r.failed = &tx.failed
	err = tx.call(j.run)
	if err == nil {
		b.clean = b.clean && !tx.wrote
		return nil
	}
	*c, b.changes = before, b.changes[:changes]
	if tx.created { // and is undone: there is nothing to count
		delete(b.counters, j.ws)
	}
	if tx.failed != nil && !local(tx.failed) {
		b.dead = wrap("update", tx.failed)
		return err
	}
	if !shared {
		return errors.Join(err, b.undoAll())
	}
	if undo := b.do(`rollback to savepoint j`); undo != nil {
		b.dead = wrap("undo", undo)
	}
	b.clean = true
	return err
}

// undoAll ends the transaction of a job that was alone.
func (b *batch) undoAll() error {
	if err := b.rollback(); err != nil {
		b.dead = wrap("undo", err)
		return b.dead
	}
	return nil
}

// savepoint makes a point to come back to, in one round trip.
func (b *batch) savepoint() error {
	switch {
	case b.saved && b.clean:
		return nil
	case b.saved && b.s.d.postgres:
		b.clean = true
		return wrap("savepoint", b.do(`release savepoint j; savepoint j`))
	case b.saved:
		if err := b.do(`release savepoint j`); err != nil {
			return wrap("savepoint", err)
		}
	}
	b.saved, b.clean = true, true
	return wrap("savepoint", b.do(`savepoint j`))
}

// counter reads, and on PostgreSQL locks, the workspace's counter row. It is
// the first thing a transaction does and the only lock it waits for, which
// excludes deadlocks: a transaction on PostgreSQL is about one workspace.
func (b *batch) counter(j *job) (*counter, error) {
	if c := b.counters[j.ws]; c != nil {
		return c, nil
	}
	c := &counter{}
	if !j.bare {
		q := `select head, floor, epoch from counter where workspace_id = ?`
		if b.s.d.postgres {
			q = `select head, floor, epoch from counter where workspace_id = ? for update`
		}
		r := b.reader(j.ws)
		if err := r.row("workspace", q, []any{&c.head, &c.floor, &c.epoch}, r.ws); err != nil {
			return nil, err
		}
		b.counters[j.ws] = c
	}
	return c, nil
}

// finish writes the log and the counters and commits.
func (b *batch) finish() error {
	if !b.open {
		return nil // the only job failed and took the transaction with it
	}
	if err := b.writeLog(); err != nil {
		return err
	}
	for ws, c := range b.counters {
		if !c.dirty {
			continue
		}
		r := b.reader(ws)
		if _, err := r.exec("count", `update counter set head = ?, floor = ?, epoch = ? where workspace_id = ?`,
			c.head, c.floor, c.epoch, r.ws); err != nil {
			return err
		}
	}
	if err := b.do(`commit`); err != nil {
		return err
	}
	b.open = false
	return nil
}

// call runs fn and gives its error, a panic's, or that of a statement whose
// failure fn has ignored.
func (tx *Tx) call(fn func(*Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			tx.b.s.log.Error("panic in update", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("update: panic: %v", p)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.finish(); err != nil {
		return err
	}
	return wrap("update", tx.failed)
}
