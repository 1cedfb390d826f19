package cache

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"parley/backend/chat"
)

// Texts in local.db are sealed with HPKE (RFC 9180) for a key pair. Whoever
// has the public half, which lies in the file, can seal; only the private half,
// which is kept in the keychain, opens. So a keychain that is locked stops
// nobody from writing: what is written then is as durable, and as secret, as
// everything else, and is read again once the keychain gives the key.
//
// Each text is bound to its row: moved to another one it does not open.
//
// A key that is lost may come back, with a keychain that was restored: the file
// names all it was ever sealed for, and what was sealed for one of them that is
// shown is sealed for the one in use.

// Key is what opens the texts of one local.db.
type Key struct{ private hpke.PrivateKey }

func sealSuite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// NewKey makes a key.
func NewKey() (Key, error) {
	kem, _, _ := sealSuite()
	private, err := kem.GenerateKey()
	if err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	return Key{private}, nil
}

// ParseKey reads what Secret gave.
func ParseKey(secret string) (Key, error) {
	b, err := hex.DecodeString(secret)
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	kem, _, _ := sealSuite()
	private, err := kem.NewPrivateKey(b)
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	return Key{private}, nil
}

// Secret is the key in the form in which it is kept.
func (k Key) Secret() (string, error) {
	b, err := k.private.Bytes()
	if err != nil {
		return "", fmt.Errorf("keep key: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// ID names the key; it is no secret.
func (k Key) ID() string { return keyID(k.private.PublicKey()) }

func keyID(public hpke.PublicKey) string {
	sum := sha256.Sum256(public.Bytes())
	return hex.EncodeToString(sum[:8])
}

// sealer seals and, with the private half, opens. A nil one leaves texts as
// they are.
type sealer struct {
	public  hpke.PublicKey
	id      string
	private hpke.PrivateKey // nil: not here (yet)
	// older are the private halves, by their keys' ids, that open what was
	// sealed for them before.
	older map[string]hpke.PrivateKey
}

// sealerOf seals with a key and opens with all of them.
func sealerOf(key Key, older []Key) *sealer {
	s := &sealer{key.private.PublicKey(), key.ID(), key.private, map[string]hpke.PrivateKey{}}
	for _, k := range older {
		s.older[k.ID()] = k.private
	}
	return s
}

// seal gives the sealed form of a text that belongs to a row.
func (s *sealer) seal(row, text string) (string, error) {
	if s == nil {
		return text, nil
	}
	_, kdf, aead := sealSuite()
	sealed, err := hpke.Seal(s.public, kdf, aead, []byte(row), []byte(text))
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return s.id + "." + base64.RawStdEncoding.EncodeToString(sealed), nil
}

// open gives a text back; false where it cannot be opened (now).
func (s *sealer) open(row, sealed string) (text string, ok bool) {
	if s == nil {
		return sealed, true
	}
	id, body, found := strings.Cut(sealed, ".")
	private := s.private
	if id != s.id {
		private = s.older[id]
	}
	if !found || private == nil {
		return "", false
	}
	b, err := base64.RawStdEncoding.DecodeString(body)
	if err != nil {
		return "", false
	}
	_, kdf, aead := sealSuite()
	plain, err := hpke.Open(private, kdf, aead, []byte(row), b)
	return string(plain), err == nil
}

// The rows that texts belong to.

func outboxRow(id chat.CommandID) string     { return "outbox " + id.String() }
func draftRow(of chat.ConversationID) string { return "draft " + of.String() }
func (s *sealer) mine(sealed string) (is bool) {
	return s == nil || s.private != nil && strings.HasPrefix(sealed, s.id+".")
}

// sealing is the part of a Local that seals.
type sealing struct {
	mu   sync.RWMutex // written to while the key changes, else held by every write
	with *sealer
	// written are the texts of this run by their row, as long as nobody has
	// shown the private half: if it turns out to be lost, they are sealed anew.
	written map[string]string
	noted   sync.Mutex // of written
}

// note remembers a text that was written before the key was shown.
func (s *sealing) note(row, text string) {
	if s.with == nil || s.with.private != nil {
		return
	}
	s.noted.Lock()
	defer s.noted.Unlock()
	s.written[row] = text
}

// notes gives what is remembered, nil where nothing is.
func (s *sealing) notes() map[string]string {
	if s.with == nil || s.with.private != nil {
		return nil
	}
	s.noted.Lock()
	defer s.noted.Unlock()
	return maps.Clone(s.written)
}

func (s *sealing) renote(written map[string]string) {
	s.noted.Lock()
	defer s.noted.Unlock()
	s.written = written
}

func (s *sealing) wrote(row string) (text string, ok bool) {
	s.noted.Lock()
	defer s.noted.Unlock()
	text, ok = s.written[row]
	return text, ok
}

// put gives the form in which a text goes into the file, within a write.
func (l *Local) put(row, text string) (string, error) {
	sealed, err := l.seal.with.seal(row, text)
	if err == nil {
		l.seal.note(row, text)
	}
	return sealed, err
}

// read gives a text of the file; sealed says that it cannot be opened now.
func (l *Local) read(row, stored string) (text string, sealed bool) {
	if text, ok := l.seal.wrote(row); ok {
		return text, false
	}
	text, ok := l.seal.with.open(row, stored)
	return text, !ok
}

// loadSealer reads for which key the file is sealed.
func loadSealer(db *sql.DB) (*sealer, error) {
	var public []byte
	err := db.QueryRow("select public from seal order by n desc limit 1").Scan(&public)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	kem, _, _ := sealSuite()
	key, err := kem.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return &sealer{public: key, id: keyID(key)}, nil
}

// Keys gives the ids of all keys that texts were ever sealed for, that of
// SealedFor first.
func (l *Local) Keys(ctx context.Context) ([]string, error) {
	return readLocal(ctx, l, "read keys", "select key from seal order by n desc", nil, scan1[string])
}

// SealedFor gives the id of the key that texts are sealed for, "" while there
// is none and they lie open.
func (l *Local) SealedFor() string {
	l.seal.mu.RLock()
	defer l.seal.mu.RUnlock()
	if l.seal.with == nil {
		return ""
	}
	return l.seal.with.id
}

// Unreadable counts the texts in the file that cannot be opened: because
// Unlock was not called yet, or because their key is lost.
func (l *Local) Unreadable(ctx context.Context) (int, error) {
	l.seal.mu.RLock()
	defer l.seal.mu.RUnlock()
	all, err := readLocal(ctx, l, "count sealed texts", `select 'outbox', id, body from outbox
		union all select 'draft', conversation, text from draft union all select 'kept', conversation, text from draft_kept`, nil,
		func(rows *sql.Rows) (unreadable bool, err error) {
			var table, sealed string
			var id chat.CommandID // or a conversation's
			if err := rows.Scan(&table, &id, &sealed); err != nil {
				return false, err
			}
			if table == "kept" { // not what was written in this run
				_, ok := l.seal.with.open("draft "+id.String(), sealed)
				return !ok, nil
			}
			_, unreadable = l.read(table+" "+id.String(), sealed)
			return unreadable, nil
		})
	n := 0
	for _, unreadable := range all {
		if unreadable {
			n++
		}
	}
	return n, err
}

// Unlock shows the key, which must be the one of SealedFor, and those of before
// it that are still there. What could not be read until then can be read from
// here on; drafts that were set aside meanwhile come back, in front of what was
// written in their place.
func (l *Local) Unlock(ctx context.Context, key Key, older ...Key) error {
	l.seal.mu.Lock()
	defer l.seal.mu.Unlock()
	if l.seal.with == nil || key.ID() != l.seal.with.id {
		return chat.Errorf(chat.CodeConflict, "This is not the key of what is kept here.")
	}
	with := sealerOf(key, older)
	if err := l.commit(ctx, "unlock", func(tx *sql.Tx) error { return l.turn(tx, with) }); err != nil {
		return err
	}
	l.seal.with, l.seal.written = with, map[string]string{}
	return nil
}

// turn seals with one key what others open, and brings back what was set aside.
func (l *Local) turn(tx *sql.Tx, with *sealer) error {
	for _, t := range []struct{ table, id, text string }{{"outbox", "id", "body"}, {"draft", "conversation", "text"}} {
		if err := l.reseal(tx, with, t.table, t.id, t.text); err != nil {
			return err
		}
	}
	return restoreDrafts(tx, with)
}

// keptDraft is a row of draft_kept.
type keptDraft struct {
	n, updatedAt int64
	conversation chat.ConversationID
	text         string
	comment      bool
}

// restoreDrafts brings back what was set aside and can be opened now.
func restoreDrafts(tx *sql.Tx, with *sealer) error {
	rows, err := tx.Query("select n, conversation, text, comment, updated_at from draft_kept order by n desc")
	if err != nil {
		return err
	}
	kept, err := collect(rows, func(rows *sql.Rows) (k keptDraft, err error) {
		err = rows.Scan(&k.n, &k.conversation, &k.text, &k.comment, &k.updatedAt)
		return k, err
	})
	if err != nil {
		return err
	}
	for _, k := range kept {
		older, ok := with.open(draftRow(k.conversation), k.text)
		if !ok {
			continue
		}
		text, comment, at := older, k.comment, k.updatedAt
		var sealed string
		var nowComment bool
		var nowAt int64
		err := tx.QueryRow("select text, comment, updated_at from draft where conversation = ?", k.conversation).Scan(&sealed, &nowComment, &nowAt)
		if err == nil {
			newer, ok := with.open(draftRow(k.conversation), sealed)
			if !ok {
				continue // of yet another key
			}
			if newer != "" && older != "" {
				text = older + "\n\n" + newer
			} else {
				text = older + newer
			}
			comment, at = nowComment || k.comment && newer == "", nowAt+1 // another text than was noted at nowAt
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if sealed, err = with.seal(draftRow(k.conversation), text); err != nil {
			return err
		}
		if _, err := tx.Exec("insert or replace into draft ("+draftColumns+") values (?, ?, ?, ?, 0)", k.conversation, sealed, comment, at); err != nil {
			return err
		}
		if _, err := tx.Exec("delete from draft_kept where n = ?", k.n); err != nil {
			return err
		}
	}
	return nil
}

// Seal begins to seal with a key that is kept already: one that was just made,
// or one of before where the last is lost. What lies open is sealed and
// overwritten. What was sealed for a key that is lost stays as it is, and what
// was written in this run in the belief that it was not is sealed anew.
func (l *Local) Seal(ctx context.Context, key Key, older ...Key) error {
	l.seal.mu.Lock()
	defer l.seal.mu.Unlock()
	with := sealerOf(key, older)
	err := l.commit(ctx, "seal", func(tx *sql.Tx) error {
		if _, err := tx.Exec(`insert into seal (key, public, swept) values (?, ?, 0)
			on conflict (key) do update set n = (select max(n) + 1 from seal), swept = 0`, with.id, with.public.Bytes()); err != nil {
			return err
		}
		return l.turn(tx, with)
	})
	if err != nil {
		return err
	}
	l.seal.with, l.seal.written = with, map[string]string{}
	return l.sweepOpen(ctx)
}

// reseal seals the texts of a table that can be read and are not yet, with a key.
func (l *Local) reseal(tx *sql.Tx, with *sealer, table, id, text string) error {
	type row struct {
		id   chat.CommandID // or a conversation's
		text string
	}
	rows, err := tx.Query("select " + id + ", " + text + " from " + table)
	if err != nil {
		return err
	}
	all, err := collect(rows, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.id, &r.text)
		return r, err
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		if with.mine(r.text) {
			continue
		}
		name := table + " " + r.id.String()
		plain, ok := l.seal.wrote(name)
		for _, s := range []*sealer{l.seal.with, with} {
			if !ok {
				plain, ok = s.open(name, r.text)
			}
		}
		if !ok {
			continue
		}
		sealed, err := with.seal(name, plain)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("update "+table+" set "+text+" = ? where "+id+" = ?", sealed, r.id); err != nil {
			return err
		}
	}
	return nil
}

// sweepOpen overwrites what stood open in the file and its log before it was
// sealed. One that was cut short is done again at the next opening.
func (l *Local) sweepOpen(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	// Noted last: until the log is folded in, the file itself is what it was.
	for _, step := range []string{"vacuum", "pragma wal_checkpoint(truncate)", "update seal set swept = 1"} {
		if _, err := l.db.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("sweep local data: %w", l.failed(err))
		}
	}
	return nil
}

// sweepOwed finishes what a crash kept sweepOpen from.
func (l *Local) sweepOwed(ctx context.Context) error {
	var owed bool
	if err := l.db.QueryRowContext(ctx, "select exists (select 1 from seal where swept = 0)").Scan(&owed); err != nil || !owed {
		return err
	}
	return l.sweepOpen(ctx)
}

// makeRoom sets a draft aside that is about to be replaced or dropped by
// somebody who could not read it.
func (l *Local) makeRoom(tx *sql.Tx, conversation chat.ConversationID) error {
	var sealed string
	err := tx.QueryRow("select text from draft where conversation = ?", conversation).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) || err == nil && l.seal.with.mine(sealed) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, wrote := l.seal.wrote(draftRow(conversation)); wrote {
		return nil
	}
	_, err = tx.Exec("insert into draft_kept (conversation, text, comment, updated_at) select conversation, text, comment, updated_at from draft where conversation = ?", conversation)
	return err
}

// Empty reports whether the file holds nothing that somebody has written.
func (l *Local) Empty(ctx context.Context) (bool, error) {
	all, err := readLocal(ctx, l, "look for texts",
		"select not exists (select 1 from outbox) and not exists (select 1 from draft) and not exists (select 1 from draft_kept)", nil, scan1[bool])
	return err == nil && all[0], err
}
