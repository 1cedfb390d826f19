package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/backend/demo"
)

// How much data the window is measured on.
var (
	figureConversations = flag.Int("conversations", 200_000, "conversations of the benchmark's workspace")
	figureMessages      = flag.Int("messages", 2_000_000, "messages of the benchmark's workspace")
)

// demoOwner is the member of the demo data who sees everything.
const demoOwner = "olivia@northwind.example"

const (
	figureStarts  = 21                     // starts of each window; the median is reported
	figureKeys    = 100                    // chats opened by key
	figureRest    = 250 * time.Millisecond // of the hand, between two keys
	figureLoading = 20 * time.Minute       // for the first load of everything
)

// BenchmarkWindow measures the native window on a big workspace beside an empty window of the same toolkit, in turns,
// so that whatever else the machine does falls on both. Times end when the pixels are on the screen.
func BenchmarkWindow(b *testing.B) {
	server := bigServer(b)
	desk := NewDesk(b)
	args := []string{"--server", server.URL()}
	window := OpenParley(desk, args...)
	SignIn(window, server.URL(), demoOwner, demo.Password)
	waitLoaded(b, window)
	window.Close()

	var ours, empty []time.Duration
	var ourMemory, emptyMemory []int64
	for b.Loop() {
		for range figureStarts {
			took, memory := started(b, desk, Program(b, "emptywindow"))
			empty, emptyMemory = append(empty, took), append(emptyMemory, memory)
			took, memory = started(b, desk, Program(b, "parley"), args...)
			ours, ourMemory = append(ours, took), append(ourMemory, memory)
		}
		window = OpenParley(desk, args...)
		window.Shows("body", "Up to date")
		window.reportKeys(b)
		window.reportRawKeys(b)
		window.Close()
		reportEmptyKeys(b, desk)
	}

	b.ReportMetric(0, "ns/op") // the sum of all this says nothing
	report := func(name string, parley, empty float64) {
		b.ReportMetric(parley, "parley-"+name)
		b.ReportMetric(empty, "empty-"+name)
		b.ReportMetric(parley/empty, name+"-ratio")
	}
	report("start-ms", milliseconds(middle(ours)), milliseconds(middle(empty)))
	report("pss-MB", float64(middle(ourMemory))/1e6, float64(middle(emptyMemory))/1e6)
}

// settled is how long a picture must not have changed to be taken for the last one.
const settled = 1200 * time.Millisecond

// started starts a program and gives the time until its window shows what it shows in the end, and its memory then.
func started(b *testing.B, desk *Desk, program string, args ...string) (time.Duration, int64) {
	b.Helper()
	before := desk.Screen.ink(desk.Screen.size)
	w := launch(desk, program, args...)
	film := desk.Screen.Watch(desk.Screen.size, before, settled)
	painted, err := film.Painted(w.content())
	if err != nil {
		b.Fatal(err)
	}
	memory := w.memory()
	w.proc.end() // as closing it does: one that was killed would have to put its cache in order at the next start
	Until(b, "the screen to be empty", func() bool { return slices.Equal(desk.Screen.ink(desk.Screen.size), before) })
	return painted.Sub(w.began), memory
}

// bigServer serves the benchmark's workspace, which is made once and kept in PARLEY_BENCH_DIR or a temporary folder.
func bigServer(b *testing.B) *Server {
	b.Helper()
	kept := os.Getenv("PARLEY_BENCH_DIR")
	if kept == "" {
		kept = filepath.Join(os.TempDir(), "parley-bench")
	}
	data := filepath.Join(kept, fmt.Sprintf("server-%s-%d-%d", schemaHash(b), *figureConversations, *figureMessages))
	if _, err := os.Stat(data); err != nil {
		making := data + ".making"
		if err := os.RemoveAll(making); err != nil {
			b.Fatal(err)
		}
		b.Log(run(b, exec.Command(Program(b, "parleyd"), "demo", "--data", making, "--seed", "1",
			"--conversations", strconv.Itoa(*figureConversations), "--messages", strconv.Itoa(*figureMessages))))
		if err := os.Rename(making, data); err != nil {
			b.Fatal(err)
		}
	}
	server := &Server{t: b, addr: freePort(b), Data: data}
	server.Start()
	return server
}

// schemaHash stands for the server's tables: a kept workspace is of no use with others.
func schemaHash(b *testing.B) string {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(root(b), "backend/server/store/migrations/*.sql"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no tables: %v", err)
	}
	sum := sha256.New()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// waitLoaded waits until everything is in the cache, which takes its time only once.
func waitLoaded(b *testing.B, w *Window) {
	b.Helper()
	began := time.Now()
	for !strings.Contains(w.Text("body"), "Up to date") {
		if time.Since(began) > figureLoading {
			b.Fatalf("not loaded after %s; the window shows:\n%s", figureLoading, w.Text("body"))
		}
		w.Eval("new Promise((done) => setTimeout(done, 250))", nil)
	}
	b.Logf("first load: %.1f s, %s", time.Since(began).Seconds(), w.Text(".sync"))
}

// reportKeys opens one chat after the other by key and reports the time from each key press to the chat: laid out by
// the page (from the event's own time stamp to the end of the frame's work, before WebKit paints it), and on the screen
// (from the press of the key, through the X server and back to its pixels).
func (w *Window) reportKeys(b *testing.B) {
	b.Helper()
	w.Focus()
	hands := newHands(w.desk)
	hands.press("ctrl+shift+Down") // with the first chat the contact card opens beside it, and the thread has its place
	w.WaitFor("the first chat", "document.querySelector('aside h2')")
	thread := w.place("main")
	reportAnswers(b, "key", w.answers(b, thread))

	// The page's own time is taken apart: who asks for a frame's callback makes WebKit wait for the screen's next tick.
	w.Eval(`(() => {
		const shown = () => document.querySelector('main [role="log"]')?.ariaLabel + '|' + document.querySelector('main h2')?.textContent;
		window.laidOut = [];
		window.timed = (event) => {
			if (event.code !== 'ArrowDown') return;
			const before = shown();
			const look = () => shown() === before ? requestAnimationFrame(look)
				: setTimeout(() => window.laidOut.push(performance.now() - event.timeStamp));
			requestAnimationFrame(look);
		};
		addEventListener('keydown', window.timed, true);
	})()`, nil)
	took := w.answers(b, thread)
	var ms []float64
	w.Eval("window.laidOut", &ms)
	w.Eval("removeEventListener('keydown', window.timed, true)", nil)
	if len(ms) != len(took) {
		b.Fatalf("%d chats were opened, and %d laid out", len(took), len(ms))
	}
	slices.Sort(ms)
	b.ReportMetric(ms[len(ms)/2], "key-to-layout-p50-ms")
	b.ReportMetric(ms[len(ms)*95/100], "key-to-layout-p95-ms")
}

// reportRawKeys measures what WebKit alone takes: the key shows another thread that is drawn already, and its name, and
// nothing of the window runs.
func (w *Window) reportRawKeys(b *testing.B) {
	b.Helper()
	w.Eval(`(() => {
		const panes = [...document.querySelectorAll('.pane')], name = document.querySelector('main h2');
		let shown = 0;
		addEventListener('keydown', (event) => {
			if (event.code !== 'ArrowDown') return;
			event.stopImmediatePropagation();
			shown = (shown + 1) % panes.length;
			panes.forEach((pane, i) => (pane.style.visibility = i === shown ? 'visible' : 'hidden'));
			name.textContent = 'Chat ' + shown;
		}, true);
	})()`, nil)
	reportAnswers(b, "raw-key", w.answers(b, w.place("main")))
}

// answers is what the screen shows while nobody inspects the page.
func (w *Window) answers(b *testing.B, part image.Rectangle) (took []time.Duration) {
	b.Helper()
	w.Unobserved(func() { took = w.desk.answers(b, part) })
	return took
}

// reportEmptyKeys measures the same on an empty window, whose one line answers the key: what the toolkit takes alone.
func reportEmptyKeys(b *testing.B, desk *Desk) {
	b.Helper()
	before := desk.Screen.ink(desk.Screen.size)
	w := launch(desk, Program(b, "emptywindow"), "keys")
	desk.Screen.Watch(desk.Screen.size, before, settled)
	part := w.content()
	run(b, desk.Command("xdotool", "windowactivate", "--sync", w.id))
	reportAnswers(b, "empty-key", desk.answers(b, part))
	w.Kill()
}

// answers presses a key again and again, each time when the screen has come to rest, and gives the times until a part
// of the screen has answered.
func (d *Desk) answers(b *testing.B, part image.Rectangle) []time.Duration {
	b.Helper()
	hands := newHands(d)
	var took []time.Duration
	for range figureKeys {
		before := d.Screen.ink(part)
		pressed := hands.press("ctrl+shift+Down")
		painted, err := d.Screen.Watch(part, before, figureRest).Painted(part)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, painted.Sub(pressed))
	}
	return took
}

func reportAnswers(b *testing.B, name string, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(milliseconds(middle(took)), name+"-to-screen-p50-ms")
	b.ReportMetric(milliseconds(took[len(took)*95/100]), name+"-to-screen-p95-ms")
}

// hands press keys without the time that starting a program for each takes.
type hands struct {
	t  testing.TB
	to io.Writer
}

func newHands(desk *Desk) *hands {
	desk.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		desk.t.Fatal(err)
	}
	cmd := desk.Command("xdotool", "-")
	cmd.Stdin = read
	start(desk.t, "xdotool", cmd)
	read.Close()
	desk.t.Cleanup(func() { write.Close() })
	return &hands{desk.t, write}
}

// press presses a key and returns when it did.
func (h *hands) press(key string) time.Time {
	h.t.Helper()
	now := time.Now()
	if _, err := fmt.Fprintln(h.to, "key --delay 0", key); err != nil {
		h.t.Fatalf("press %s: %v", key, err)
	}
	return now
}

// memory is the proportional share of memory, in bytes, of the program and all its descendants.
func (w *Window) memory() int64 {
	w.t.Helper()
	parents := map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	var sum int64
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if at == w.proc.cmd.Process.Pid {
				sum += pss(pid)
				break
			}
		}
	}
	if sum == 0 {
		w.t.Fatal("the memory of the window's processes could not be read")
	}
	return sum
}

// pss reads a process's share; 0 when it has ended.
func pss(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// middle is the median.
func middle[T interface{ ~int64 }](values []T) T {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
