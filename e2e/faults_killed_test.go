package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/desktop/secrets"
)

// TestFaultsServerKilled kills parleyd, as kill -9 does, at random instants while three desks and their customers write.
func TestFaultsServerKilled(t *testing.T) {
	t.Parallel()
	dice := chance(t)
	srv, emails := staff(t)
	sends := often(600, 10_000)
	said := &ledger{}
	var engines []*engine
	var talks []talk
	var agents []agent
	for _, email := range emails {
		e := openEngine(t, t.TempDir())
		e.signInAs(srv.URL(), email, ownerPassword)
		a := agent{e: e, name: email}
		for i := range 4 {
			text := fmt.Sprintf("hello-%s-%d", email, i)
			a.talks = append(a.talks, begin(e, srv.URL(), srv.Created.Channel.Key, text))
			said.accepted(text)
		}
		engines, talks, agents = append(engines, e), append(talks, a.talks...), append(agents, a)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var writing sync.WaitGroup
	for _, a := range agents {
		writing.Go(func() {
			if err := a.writes(ctx, sends/len(agents), said); err != nil {
				t.Error(err)
			}
		})
	}
	// Each customer says something now and then.
	for i, c := range talks {
		writing.Go(func() {
			for n := range sends / len(talks) / 5 {
				text := fmt.Sprintf("customer-%d-%d", i, n)
				if err := c.buyer.says(ctx, text); err != nil {
					t.Error(err)
					return
				}
				said.accepted(text)
			}
		})
	}
	written := make(chan struct{})
	go func() {
		writing.Wait()
		close(written)
	}()
	kills := 0
	for busy := true; busy; {
		upto := said.count() + 10 + dice.IntN(110)
		instant := time.Duration(dice.IntN(40_000)) * time.Microsecond
		for look := time.NewTicker(time.Millisecond); ; <-look.C {
			select {
			case <-written:
				busy = false
			default:
			}
			if !busy || said.count() >= upto {
				look.Stop()
				break
			}
		}
		<-time.After(instant)
		srv.Kill()
		srv.Start()
		kills++
	}
	settle(t, personAt(t, srv.URL(), ownerEmail), said, talks, engines...)
	t.Logf("%d messages accepted, %d kills", said.count(), kills)
	srv.Stop()
	srv.Admin("", "check")
}

// TestFaultsDesktopKilled kills the desktop, as kill -9 does, at random instants while somebody types and sends.
func TestFaultsDesktopKilled(t *testing.T) {
	t.Parallel()
	dice := chance(t)
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	data := t.TempDir()
	said := &ledger{maybe: map[string]bool{}}
	first := openEngine(t, data)
	first.signIn(line.URL())
	var talks []talk
	for i := range 3 {
		text := fmt.Sprintf("hello-%d", i)
		talks = append(talks, begin(first, b.url(), b.created.Channel.Key, text))
		said.accepted(text)
	}
	first.close()

	typed := map[string]*composer{}
	for _, c := range talks {
		typed[c.id.String()] = &composer{may: []string{""}}
	}
	begun := 0
	for range often(10, 500) {
		if dice.IntN(3) == 0 {
			line.Cut()
		} else {
			line.Restore()
		}
		begun = killedDesktop(t, dice, data, begun, typed, said)
		e := openEngine(t, data)
		for id, c := range typed {
			v, err := e.Conversation(id)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if v.Draft != nil {
				got = v.Draft.Text
			}
			if !slices.Contains(c.may, got) {
				t.Fatalf("after the kill the composer holds %q, want one of %q", got, c.may)
			}
			c.may = []string{got}
		}
		e.close()
	}
	line.Restore()
	e := openEngine(t, data)
	settle(t, b.owner(), said, talks, e)
	t.Logf("%d messages accepted", said.count())
}

// composer is what the field of one conversation may hold after a kill: what was saved last, or what was being saved.
type composer struct{ may []string }

// killedDesktop starts the desktop as a process, lets it write, and kills it at a random instant. It gives how many
// texts have been begun in all.
func killedDesktop(t *testing.T, dice *rand.Rand, data string, begun int, typed map[string]*composer, said *ledger) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-faults.desktop="+data, "-faults.seed="+strconv.FormatUint(dice.Uint64()|1, 10), strconv.Itoa(begun))
	cmd.Stdout = write
	p := start(t, "desktop", cmd)
	write.Close()
	defer read.Close()
	lines := bufio.NewScanner(read)
	left := 1 + dice.IntN(120) // words it may say before the kill
	instant := time.Duration(dice.IntN(8_000)) * time.Microsecond
	ended := make(chan struct{})
	for lines.Scan() { // also what it has still said when it was killed
		word, rest, _ := strings.Cut(lines.Text(), " ")
		id, text, _ := strings.Cut(rest, " ")
		c := typed[id]
		switch word {
		case "typing":
			c.may = append(c.may, text)
			var n int
			if _, err := fmt.Sscanf(text, "text-%d", &n); err != nil {
				t.Fatalf("the desktop types %q", text)
			}
			begun = max(begun, n+1)
		case "typed":
			c.may = []string{text}
		case "sending":
			c.may = append(c.may, "")
			said.maybe[text] = true
		case "sent":
			c.may = []string{""}
			said.accepted(text)
		case "broken":
			t.Fatalf("the desktop could not go on: %s", rest)
		}
		if left--; left == 0 {
			go func() {
				defer close(ended)
				<-time.After(instant)
				p.kill()
			}()
		}
	}
	if left > 0 {
		t.Fatalf("the desktop ended by itself")
	}
	<-ended
	return begun
}

// driveDesktop is the desktop that is killed: it types and sends for ever, and says before and after each step what it
// does.
func driveDesktop(data string, seed uint64, out io.Writer) int {
	dice := rand.New(rand.NewPCG(seed, seed))
	say := func(words ...any) { fmt.Fprintln(out, words...) }
	e, err := desktop.Open(context.Background(), desktop.Options{Data: data, Version: "test", Window: &listener{}, DefaultServer: "none",
		Secrets: secrets.OpenRing(noRing{}, filepath.Join(data, "secrets")), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		say("broken", err)
		return 1
	}
	page, err := e.List(desktop.ListQuery{Quick: "all", Limit: 200})
	if err != nil || len(page.Rows) == 0 {
		say("broken", len(page.Rows), err)
		return 1
	}
	i, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil {
		say("broken", err)
		return 1
	}
	for ; ; i++ {
		var c chat.Conversation
		if err := json.Unmarshal(page.Rows[dice.IntN(len(page.Rows))].Conversation, &c); err != nil {
			say("broken", err)
			return 1
		}
		id, text := c.ID.String(), fmt.Sprintf("text-%d", i)
		for _, keys := range []string{text + "-half", text} {
			say("typing", id, keys)
			if err := e.SaveDraft(id, desktop.Draft{Text: keys}); err != nil {
				say("broken", err)
				return 1
			}
			say("typed", id, keys)
			if dice.IntN(20) == 0 { // long enough for the draft to go to the server
				<-time.After(1200 * time.Millisecond)
			}
		}
		if dice.IntN(4) == 0 {
			continue // stays a draft
		}
		say("sending", id, text)
		if _, err := e.Send(id, desktop.NewMessage{Text: text, Seen: c.LastNumber}); err != nil {
			say("broken", err)
			return 1
		}
		say("sent", id, text)
		<-time.After(time.Duration(dice.IntN(20)) * time.Millisecond)
	}
}
