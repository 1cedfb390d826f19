package cache

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/search"
)

// The index of messages is fed behind the writes: full-text indexing takes
// twice the time of everything else about a message. A transaction that writes
// messages notes only which ones, in one row of the table unindexed; the
// writer takes these rows in turn, oldest first, whenever nobody waits for it.
// Whoever searches reads the unindexed messages themselves.
//
// A message's place in the index, its doc, is its time, counted backwards: the
// newest hits are found first, and a limit of time is a range. What the index
// says is checked on the message itself, so that it may lag behind, and need
// not know what stands side by side, without ever showing what is gone.

// docOrigin is the doc of the year 2000; later messages have smaller ones. It
// is as large as six bytes in the file hold.
const docOrigin = 1<<42 - 1

// docAt is the doc of a place.
func docAt(place int64) int64 { return docOrigin - place }

// likelyDoc is the doc a message gets if nobody else has it.
func likelyDoc(at chat.Time, key int64) int64 { return docAt(search.Place(at, uint64(key), 0)) }

// keyRange is messages to be indexed anew, or to be taken out of the index
// where they are gone.
type keyRange struct{ lo, hi int64 }

// threadKeys are all keys a conversation's messages can have.
func threadKeys(conversation int64) keyRange {
	return keyRange{conversation << numberBits, conversation<<numberBits | maxNumber}
}

// reindex notes that messages have come, changed or gone. It is called in the
// transaction that does so.
func (t *tx) reindex(r keyRange) { t.unindexed = append(t.unindexed, r) }

// noteUnindexed writes down what the transaction has to have indexed.
func (t *tx) noteUnindexed() error {
	if len(t.unindexed) == 0 {
		return nil
	}
	_, err := t.exec("insert into unindexed (keys) values (?)", packKeys(t.unindexed))
	return err
}

func packKeys(list []keyRange) []byte {
	b := make([]byte, 0, 8*len(list))
	for _, r := range list {
		b = binary.AppendUvarint(b, uint64(r.lo))
		b = binary.AppendUvarint(b, uint64(r.hi-r.lo))
	}
	return b
}

func unpackKeys(b []byte) (list []keyRange, err error) {
	for len(b) > 0 {
		lo, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.Join(errDamaged, errors.New("list of unindexed messages"))
		}
		more, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return nil, errors.Join(errDamaged, errors.New("list of unindexed messages"))
		}
		list = append(list, keyRange{int64(lo), int64(lo + more)})
		b = b[n+m:]
	}
	return list, nil
}

const (
	// A slice of indexing ends after so many messages or so long, or as soon as
	// somebody waits to write.
	sliceDocs = 1000
	sliceTime = 100 * time.Millisecond
	// indexRest is how long nothing must be written before a slice.
	indexRest = 30 * time.Millisecond
	// indexPause is between two slices, for whoever wants the processor.
	indexPause = 10 * time.Millisecond
	// indexDue is after how long of nothing but writes a slice is taken all the
	// same, so that a long load is searchable before its end.
	indexDue = 2 * time.Second
)

// indexSlice indexes some of what waits and says whether more does.
func (w *writer) indexSlice(ctx context.Context) (more bool, err error) {
	began := time.Now()
	err = w.transact(ctx, "index messages", func(t *tx) (err error) {
		more, err = t.index(sliceDocs, func(took time.Duration) bool { return w.waiting.Load() > 0 || time.Since(began) > took })
		return err
	})
	return more, err
}

// indexed is a message's place in the index, its words and the sum of them.
type indexed struct {
	key, doc, sum int64
	words         string // "": it has no place
}

// index takes up to limit messages of what waits; enough ends a part of it that
// took so long.
func (t *tx) index(limit int, enough func(took time.Duration) bool) (more bool, err error) {
	keys, more, err := t.takeUnindexed(limit)
	if err != nil {
		return false, err
	}
	var add []indexed
	taken := map[int64]bool{}
	for i, key := range keys {
		// What is read is to be put in as well, in the other half of the time.
		if i > 0 && i%16 == 0 && enough(sliceTime/2) {
			// The rest goes to the front of the queue, before what came later.
			if err := t.putBack(keys[i:]); err != nil {
				return false, err
			}
			more = true
			break
		}
		x, changed, err := t.renew(key, taken)
		if err != nil {
			return false, err
		}
		if changed && x.words != "" {
			taken[x.doc] = true
			add = append(add, x)
		}
	}
	// FTS5 keeps what it is given in memory as long as docs ascend.
	slices.SortFunc(add, func(a, b indexed) int { return cmp.Compare(a.doc, b.doc) })
	for i, x := range add {
		if i > 0 && i%16 == 0 && enough(sliceTime) {
			rest := make([]int64, 0, len(add)-i)
			for _, x := range add[i:] {
				rest = append(rest, x.key)
			}
			return true, t.putBack(rest)
		}
		if _, err := t.exec("insert into indexed (doc, key, sum) values (?, ?, ?)", x.doc, x.key, x.sum); err != nil {
			return false, err
		}
		if _, err := t.exec("insert into message_fts (rowid, words) values (?, ?)", x.doc, x.words); err != nil {
			return false, err
		}
	}
	return more, nil
}

// renew takes a message out of the index unless it stands there as it is, and
// gives what to put in.
func (t *tx) renew(key int64, taken map[int64]bool) (x indexed, changed bool, err error) {
	x.key = key
	var at chat.Time
	var data []byte
	there, err := t.one("select data from message where key = ?", []any{key}, &data)
	if err != nil {
		return x, false, err
	}
	if m, ok := search.ReadMessage(data); there && ok {
		x.words = m.Words()
		at = m.StoredAt
		sum := fnv.New32a()
		_, _ = sum.Write([]byte(x.words))
		x.sum = int64(sum.Sum32())
	}
	empty := x.words == ""
	var old indexed
	before, err := t.one("select doc, sum from indexed where key = ?", []any{key}, &old.doc, &old.sum)
	if err != nil || before && !empty && old.sum == x.sum {
		return x, false, err
	}
	if before {
		if _, err := t.exec("delete from message_fts where rowid = ?", old.doc); err != nil {
			return x, false, err
		}
		if _, err := t.exec("delete from indexed where doc = ?", old.doc); err != nil {
			return x, false, err
		}
	}
	if !empty {
		x.doc, err = t.freeDoc(at, key, taken)
	}
	return x, true, err
}

// freeDoc finds a place that nobody has, in the message's second or, where
// very many share it, not long after.
func (t *tx) freeDoc(at chat.Time, key int64, taken map[int64]bool) (int64, error) {
	for try := 0; ; try++ {
		doc := docAt(search.Place(at, uint64(key), try))
		if taken[doc] {
			continue
		}
		var n int64
		if found, err := t.one("select doc from indexed where doc = ?", []any{doc}, &n); err != nil || !found {
			return doc, err
		}
	}
}

// takeUnindexed takes the next keys off what waits.
func (t *tx) takeUnindexed(limit int) (keys []int64, more bool, err error) {
	seen := map[int64]bool{}
	for len(keys) < limit {
		var n int64
		var b []byte
		found, err := t.one("select n, keys from unindexed order by n limit 1", nil, &n, &b)
		if err != nil || !found {
			return keys, false, err
		}
		list, err := unpackKeys(b)
		if err != nil {
			return nil, false, err
		}
		var rest []keyRange
		for i, r := range list {
			if len(keys) >= limit {
				rest = list[i:]
				break
			}
			some, left, err := t.expand(r, limit-len(keys))
			if err != nil {
				return nil, false, err
			}
			for _, key := range some {
				if !seen[key] {
					seen[key] = true
					keys = append(keys, key)
				}
			}
			if left != nil {
				rest = append([]keyRange{*left}, list[i+1:]...)
				break
			}
		}
		if len(rest) > 0 {
			_, err = t.exec("update unindexed set keys = ? where n = ?", packKeys(rest), n)
			return keys, true, err
		}
		if _, err := t.exec("delete from unindexed where n = ?", n); err != nil {
			return nil, false, err
		}
	}
	var some bool
	if _, err := t.one("select exists (select 1 from unindexed)", nil, &some); err != nil {
		return nil, false, err
	}
	return keys, some, nil
}

// expand gives the first keys of a range that there is something about, and
// what is left of the range.
func (t *tx) expand(r keyRange, limit int) (keys []int64, left *keyRange, err error) {
	if r.lo == r.hi {
		return []int64{r.lo}, nil, nil
	}
	for _, query := range []string{
		"select key from message where key between ? and ? order by key limit ?",
		"select key from indexed where key between ? and ? order by key limit ?",
	} {
		err := each(t, query, []any{r.lo, r.hi, limit}, scan1[int64], func(key int64) error {
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) >= limit {
		keys = keys[:limit]
		left = &keyRange{keys[limit-1] + 1, r.hi}
		if left.lo > left.hi {
			left = nil
		}
	}
	return keys, left, nil
}

// putBack writes keys in front of everything that waits.
func (t *tx) putBack(keys []int64) error {
	list := make([]keyRange, len(keys))
	for i, key := range keys {
		list[i] = keyRange{key, key}
	}
	_, err := t.exec("insert into unindexed (n, keys) values (coalesce((select min(n) from unindexed), 1) - 1, ?)", packKeys(list))
	return err
}
