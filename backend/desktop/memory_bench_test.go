package desktop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/secrets"
)

const memoryEnv = "PARLEY_MEMORY_DATA"

// BenchmarkEngineMemory says how much memory the engine takes, without a window,
// with the data set that the benchmarks of the cache have made: a program of its
// own scrolls, opens chats, searches and counts. It needs Linux, which says how
// much memory a program has.
func BenchmarkEngineMemory(b *testing.B) {
	root := os.Getenv("PARLEY_BENCH_DIR")
	if root == "" {
		root = filepath.Join(os.TempDir(), "parley-bench")
	}
	found, err := filepath.Glob(filepath.Join(root, "cache-*-200000-2000000", "complete"))
	if err != nil || len(found) == 0 {
		b.Skip("run the benchmarks of the cache first")
	}
	newest := slices.MaxFunc(found, func(x, y string) int { return modified(b, x).Compare(modified(b, y)) })
	data := b.TempDir()
	account := record{ID: chat.NewID[record]().String(), Server: nowhere, Kind: AccountRemote, Member: chat.NewID[chat.Member](), Me: json.RawMessage("{}")}
	folder := filepath.Join(data, "accounts", account.ID)
	if err := os.CopyFS(folder, os.DirFS(filepath.Dir(newest))); err != nil {
		b.Fatal(err)
	}
	device, err := cache.OpenLocal(data)
	if err != nil {
		b.Fatal(err)
	}
	for key, value := range map[string]any{settingAccounts: []record{account}, settingActive: account.ID} {
		text, err := json.Marshal(value)
		if err == nil {
			err = device.PutSetting(b.Context(), key, text)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := device.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkEngineInUse$", "-test.benchtime=1x")
		cmd.Env = append(os.Environ(), memoryEnv+"="+data)
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "memory" {
				kb, err := strconv.ParseFloat(f[2], 64)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(kb/1024, f[1]+"-MB")
			}
		}
	}
}

func modified(b *testing.B, path string) time.Time {
	b.Helper()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.ModTime()
}

// BenchmarkEngineInUse is the program that BenchmarkEngineMemory measures. It is
// no test, which would have to be skipped each time.
func BenchmarkEngineInUse(t *testing.B) {
	data := os.Getenv(memoryEnv)
	if data == "" {
		t.Skip("is run by BenchmarkEngineMemory")
	}
	e, err := Open(t.Context(), Options{Data: data, DefaultServer: "x", Window: &ear{}, Secrets: secrets.OpenRing(&lockable{kept: map[string]string{}}, filepath.Join(data, "secrets"))})
	if err != nil {
		t.Fatal(err)
	}
	memory(t, "opened", "VmRSS")
	if st := stateOf(t, e); st.Cached.Conversations < 200_000 {
		t.Fatalf("cached are %+v, %+v", st.Cached, st.Warnings)
	}
	if _, err := e.Opening(50); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Counts(""); err != nil {
		t.Fatal(err)
	}
	memory(t, "first-picture", "VmRSS")
	var ids []string
	for _, quick := range []string{"all", "unread", "unresolved", "resolved", "unassigned"} {
		cursor := ""
		for range 20 {
			page, err := e.List(ListQuery{Quick: quick, Cursor: cursor, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				var c struct {
					ID string `json:"id"`
				}
				if err := json.Unmarshal(row.Conversation, &c); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, c.ID)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		id := ids[rng.IntN(len(ids))]
		if _, err := e.Thread(id, ThreadQuery{Limit: 50}); err != nil {
			t.Fatal(err)
		}
	}
	for _, word := range []string{"a", "an", "ana", "mar", "+49", "sch", "lee", "王"} {
		if _, err := e.List(ListQuery{Quick: "all", Search: word, Limit: 50}); err != nil {
			t.Fatal(err)
		}
	}
	memory(t, "in-use", "VmRSS")
	s, err := e.session()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.makeRoom(); err != nil {
		t.Fatal(err)
	}
	if !s.check(false) {
		t.Fatal("the check was broken off")
	}
	if due, _ := s.cache.CheckDue(e.now()); due {
		t.Fatal("the file was not checked")
	}
	memory(t, "after-care", "VmRSS")
	memory(t, "most", "VmHWM")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func memory(t testing.TB, when, what string) {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), what+":"); ok {
			fmt.Println("memory", when, strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
}
