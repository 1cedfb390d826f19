package e2e

import (
	"flag"
	"fmt"
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
	figureStarts  = 9                // starts of each window; the median is reported
	figureKeys    = 100              // chats opened by key
	figureLoading = 20 * time.Minute // for the first load of everything
)

// BenchmarkWindow measures the native window on a big workspace beside an empty window of the same toolkit, in turns,
// so that whatever else the machine does falls on both.
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
			w := openPage(desk, Program(b, "emptywindow-devtools"))
			empty = append(empty, w.painted("main"))
			emptyMemory = append(emptyMemory, w.memory())
			w.Kill()
			w = openPage(desk, Program(b, "parley-devtools"), args...)
			ours = append(ours, w.painted(chatRow))
			ourMemory = append(ourMemory, w.memory())
			w.Kill()
		}
		window = OpenParley(desk, args...)
		window.Shows("body", "Up to date")
		window.reportKeys(b)
		window.Close()
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

// bigServer serves the benchmark's workspace, which is made once and kept in PARLEY_BENCH_DIR or a temporary folder.
func bigServer(b *testing.B) *Server {
	b.Helper()
	kept := os.Getenv("PARLEY_BENCH_DIR")
	if kept == "" {
		kept = filepath.Join(os.TempDir(), "parley-bench")
	}
	data := filepath.Join(kept, fmt.Sprintf("server-%d-%d", *figureConversations, *figureMessages))
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

// painted is the time from the start of the program to the frame that shows the element.
func (w *Window) painted(selector string) time.Duration {
	w.t.Helper()
	var at float64
	w.Eval(fmt.Sprintf(`new Promise((done) => {
		const look = () => document.querySelector(%s)
			? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.timeOrigin + performance.now())))
			: setTimeout(look, 1);
		look();
	})`, quote(selector)), &at)
	return time.UnixMicro(int64(at * 1000)).Sub(w.began)
}

// reportKeys opens one chat after the other by key and reports the time from each key press to the frame that shows
// the thread.
func (w *Window) reportKeys(b *testing.B) {
	b.Helper()
	var took []time.Duration
	for range figureKeys {
		w.Eval(`(() => {
			const shown = () => {
				const log = document.querySelector('main [role="log"]');
				const items = log ? [...log.querySelectorAll('[role="listitem"]')] : [];
				return items.length ? log.ariaLabel + items.map((e) => e.textContent).join('|') : '';
			};
			const before = shown();
			window.opened = new Promise((done) => addEventListener('keydown', function heard(event) {
				if (event.code !== 'ArrowDown') return;
				removeEventListener('keydown', heard, true);
				const look = () => {
					const now = shown();
					if (now !== '' && now !== before) requestAnimationFrame(() => done(performance.now() - event.timeStamp));
					else requestAnimationFrame(look);
				};
				look();
			}, true));
			return null;
		})()`, nil)
		w.Keys("ctrl+shift+Down")
		var ms float64
		w.Eval("window.opened", &ms)
		took = append(took, time.Duration(ms*float64(time.Millisecond)))
	}
	slices.Sort(took)
	b.ReportMetric(milliseconds(middle(took)), "key-to-thread-p50-ms")
	b.ReportMetric(milliseconds(took[len(took)*95/100]), "key-to-thread-p95-ms")
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
