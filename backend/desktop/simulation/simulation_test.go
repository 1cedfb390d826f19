package simulation

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

var (
	schedules = flag.Int("schedules", 200, "how many schedules are played")
	shift     = flag.Duration("shift", 12*time.Second, "how long people work and things break in a schedule at most, in its own time")
	most      = flag.Int("broken", 3, "after so many broken schedules no more are played")
	first     = flag.Uint64("seed", 1, "the first schedule's seed; with -schedules=1 only this one, with its trace")
)

// traceEnd is how many lines of a trace are told with the test: the file may be
// gone with the machine.
const traceEnd = 40

// TestSchedules plays schedules and wants every promise kept in each. A broken
// one can be played again by its seed.
func TestSchedules(t *testing.T) {
	if *schedules == 1 { // nothing depends on the ids, but the same ones make two traces comparable
		uuid.SetRand(&lockedSource{from: rand.NewChaCha8([32]byte{byte(*first)})})
		t.Cleanup(func() { uuid.SetRand(nil) })
	}
	// Many small worlds, and time is what is short: what they leave behind is
	// collected when there is much of it. The schedules run after this function.
	worlds := 2 * runtime.GOMAXPROCS(0) // a schedule waits for its threads now and then
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(int64(worlds)*24<<20)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	})
	var next, wrong atomic.Int64
	for range worlds {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for {
				i := next.Add(1) - 1
				if i >= int64(*schedules) || int(wrong.Load()) >= *most {
					return
				}
				seed := *first + uint64(i)
				broken, trace := play(t, seed)
				if len(broken) > 0 {
					wrong.Add(1)
					t.Errorf("seed %d:\n%s", seed, strings.Join(broken[:min(len(broken), 10)], "\n"))
				}
				if len(broken) > 0 || *schedules == 1 {
					t.Logf("what happened: %s, at last:\n%s", keep(t, seed, trace), strings.Join(trace[max(len(trace)-traceEnd, 0):], "\n"))
				}
			}
		})
	}
}

// lockedSource is a source of ids that several goroutines may draw from.
type lockedSource struct {
	mu   sync.Mutex
	from io.Reader
}

// Read fills b.
func (s *lockedSource) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from.Read(b)
}

// play plays one schedule in a bubble of its own.
func play(t *testing.T, seed uint64) (broken, trace []string) {
	dir, err := os.MkdirTemp(scratch(t), "schedule")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) { broken, trace = run(t, seed, dir) })
	return broken, trace
}

// keep writes a trace where it can be read afterwards.
func keep(t *testing.T, seed uint64, trace []string) (name string) {
	name = filepath.Join(os.TempDir(), fmt.Sprintf("parley-schedule-%d.txt", seed))
	if err := os.WriteFile(name, []byte(strings.Join(trace, "\n")+"\n"), 0o600); err != nil {
		t.Error(err)
	}
	return name
}

// scratch is a folder in memory where there is one: what is tested is not the
// speed of a disk.
func scratch(t *testing.T) string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return t.TempDir()
}
