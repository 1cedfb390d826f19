package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The bounds of what a hub keeps for its sockets.
const (
	tailEntries = 4000
	tailBytes   = 4 << 20
	maxFrames   = 32 // of one generation, as the bytes
	frameBytes  = 2 << 20
	maxPages    = 8
	pageTime    = 10 * time.Second // for the reading of one
)

// entry is a change and its JSON, encoded once for all sockets.
type entry struct {
	change chat.Change
	raw    json.RawMessage
}

func encoded(changes []chat.Change) ([]entry, error) {
	fresh := make([]entry, len(changes))
	for i, c := range changes {
		raw, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("encode change: %w", err)
		}
		if c.Kind != chat.EntityAccess {
			c.Data = nil // only the encoded form is needed from here on
		}
		fresh[i] = entry{change: c, raw: raw}
	}
	return fresh, nil
}

// tail is the newest piece of a log: the changes (from, head], one each. It
// does not change; a newer one takes its place.
type tail struct {
	log     int64 // counts the logs a hub has followed: in another one positions mean something else
	entries []entry
	from    int64
	head    int64
	bytes   int
}

// with gives the tail that follows, trimmed to its bounds. It may be asked of
// each tail once: what is added lies behind what the old one shows.
func (t *tail) with(fresh []entry) *tail {
	n := &tail{log: t.log, entries: append(t.entries, fresh...), from: t.from, head: t.head, bytes: t.bytes}
	for i := range fresh {
		n.bytes += len(fresh[i].raw)
		n.head = fresh[i].change.Seq
	}
	drop := 0
	for len(n.entries)-drop > tailEntries || n.bytes > tailBytes && drop < len(n.entries) {
		n.bytes -= len(n.entries[drop].raw)
		n.from = n.entries[drop].change.Seq
		drop++
	}
	if drop > 0 { // a new array, or the old one would keep what is dropped
		n.entries = append(make([]entry, 0, len(n.entries)-drop+tailRead), n.entries[drop:]...)
	}
	return n
}

// since gives the changes after a position; ok is false when the tail does not
// reach back that far.
func (t *tail) since(after int64) (entries []entry, ok bool) {
	if after < t.from || after > t.head {
		return nil, after > t.head
	}
	return t.entries[after-t.from:], true
}

// pages are pieces of the log from before the tail, for those who come back
// after long: they come together, from the same position.
type pages struct {
	mu sync.Mutex
	m  map[pageKey]*logPage
}

type pageKey struct{ log, after int64 }

type logPage struct {
	read    sync.Once
	entries []entry
	err     error
}

// older gives a page of changes after a position, whoever may see them. All
// who want it at the same time wait for one reading.
func (h *hub) older(ctx context.Context, log, after int64) ([]entry, error) {
	k := pageKey{log, after}
	h.pages.mu.Lock()
	p := h.pages.m[k]
	if p == nil {
		if len(h.pages.m) >= maxPages || h.pages.m == nil {
			h.pages.m = map[pageKey]*logPage{}
		}
		p = &logPage{}
		h.pages.m[k] = p
	}
	h.pages.mu.Unlock()
	p.read.Do(func() {
		// Not for this socket alone: its end must not end the others' reading.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pageTime)
		defer cancel()
		changes, err := h.hubs.inbox.LogTail(ctx, h.ws, after, protocol.MaxChanges, protocol.MaxPacketBytes)
		if err == nil {
			p.entries, err = encoded(changes)
		}
		p.err = err
	})
	if p.err != nil {
		h.pages.forget(k, p)
	}
	return p.entries, p.err
}

// forget makes the next one who wants the page read it anew.
func (p *pages) forget(k pageKey, old *logPage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m[k] == old {
		delete(p.m, k)
	}
}

// rest lets go of all pages.
func (p *pages) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m = nil
}

// frameKey says which changes a packet's frame holds, and nothing of who may
// see them: each socket picks by its own view, and those who have picked the
// same share the frame.
type frameKey struct {
	log  int64
	from int64                               // where the packet begins
	read int64                               // the changes looked at are (read, to]
	to   int64                               //
	seen [(protocol.MaxChanges + 7) / 8]byte // a bit for each of them: it is in the packet
}

func (k *frameKey) pick(i int)        { k.seen[i/8] |= 1 << (i % 8) }
func (k *frameKey) picked(i int) bool { return k.seen[i/8]&(1<<(i%8)) != 0 }

// frames are the packets made last, ready to be written, because a thousand
// sockets want the same one at the same time. They are kept in two
// generations: what nobody has wanted in the younger one's time goes.
type frames struct {
	last  atomic.Pointer[frame]
	mu    sync.Mutex
	young map[frameKey]*frame
	old   map[frameKey]*frame
	bytes int // of the young
}

type frame struct {
	key      frameKey
	size     int
	prepared *websocket.PreparedMessage
}

// of gives the frame for a key; entries are those after its read.
func (f *frames) of(k *frameKey, entries []entry) (*websocket.PreparedMessage, error) {
	if last := f.last.Load(); last != nil && last.key == *k {
		return last.prepared, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock() // held while the frame is made: the others who want it wait instead of making it too
	fr := f.young[*k]
	if fr == nil {
		if fr = f.old[*k]; fr == nil {
			raw := k.frame(entries)
			prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, raw)
			if err != nil {
				return nil, fmt.Errorf("prepare frame: %w", err)
			}
			fr = &frame{key: *k, size: len(raw), prepared: prepared}
		}
		if len(f.young) >= maxFrames || f.bytes > 0 && f.bytes+fr.size > frameBytes {
			f.age()
		}
		if f.young == nil {
			f.young = map[frameKey]*frame{}
		}
		f.young[*k] = fr
		f.bytes += fr.size
	}
	f.last.Store(fr)
	return fr.prepared, nil
}

func (f *frames) age() { f.old, f.young, f.bytes = f.young, nil, 0 }

// rest lets go of what was not wanted since the last rest but one.
func (f *frames) rest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.age()
	f.last.Store(nil)
}

// frame puts the picked changes together. They are encoded already, and are
// not looked through once more.
func (k *frameKey) frame(entries []entry) []byte {
	n := int(k.to - k.read)
	size := 80
	for i := range n {
		if k.picked(i) {
			size += len(entries[i].raw) + 1
		}
	}
	b := packetStart(make([]byte, 0, size), k.from, k.to)
	first := true
	for i := range n {
		if !k.picked(i) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, entries[i].raw...)
	}
	return append(b, "]}"...)
}

// packetStart is a packet's frame up to its first change.
func packetStart(b []byte, from, to int64) []byte {
	b = append(b, `{"type":"`+string(protocol.FrameChanges)+`","from":`...)
	b = strconv.AppendInt(b, from, 10)
	b = append(b, `,"to":`...)
	b = strconv.AppendInt(b, to, 10)
	return append(b, `,"changes":[`...)
}
