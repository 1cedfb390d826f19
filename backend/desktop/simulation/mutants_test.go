package simulation

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	mutate  = flag.Bool("mutants", false, "build the mutants and want each caught")
	patient = flag.Int("mutant-schedules", 2000, "schedules after which a mutant counts as missed")
)

// mutant is a deliberate bug: in files of the desktop, one text instead of
// another. All are built into one program, which takes on the one it is told.
type mutant struct {
	name  string
	from  uint64 // seed from which it was caught soon, to save time
	edits []edit
}

// edit replaces text that stands in a file exactly once. In to, MUTANT says
// whether this is the mutant to be.
type edit struct{ file, from, to string }

const (
	apply     = "cache/apply.go"
	bootstrap = "cache/bootstrap.go"
	put       = "cache/put.go"
	purge     = "cache/purge.go"
	stored    = "cache/outbox.go"
	machine   = "sync/machine.go"
	fetching  = "sync/fetch.go"
	contacts  = "sync/contacts.go"
	outboxing = "outbox/outbox.go"
	queue     = "outbox/queue.go"
	proving   = "sync/proof.go"
	drafting  = "drafts.go"
	writing   = "write.go"
)

var mutants = []mutant{
	{"the position is written before the rows", 1, []edit{{apply, "	return c.change(ctx, \"apply changes\", func(t *tx) error {\n",
		"	if p, epoch := c.Position(); MUTANT && p == from && to >= from {\n		if err := c.SetPosition(ctx, to, epoch); err != nil {\n			return Applied{}, err\n		}\n		from = to\n	}\n" +
			"	return c.change(ctx, \"apply changes\", func(t *tx) error {\n"}}},
	{"a gap in the log is not noticed", 1, []edit{
		{apply, "if from != t.state.Position || to < from {", "if MUTANT && to < t.state.Position || !MUTANT && (from != t.state.Position || to < from) {"},
		{machine, "case p.From == m.position && m.filling", "case (MUTANT || p.From == m.position) && m.filling"}}},
	{"an older row replaces a newer one", 76, []edit{
		{put, "return ver > than || mark < t.state.Floor }", "return MUTANT || ver > than || mark < t.state.Floor }"},
		{put, "where excluded.ver > ver or mark < ?`, key, m.ID", "where `+map[bool]string{true: \"true\", false: \"excluded.ver > ver\"}[MUTANT]+` or mark < ?`, key, m.ID"}}},
	{"the sweep takes rows that are newer than the bootstrap", 220, []edit{{purge, "	const old = \"(mark < ? or mark < ? and ver <= ?)\"",
		"	old := \"(mark < ? or mark < ? and ver <= ?)\"\n	if MUTANT {\n		old = \"(mark < ? or mark < ? or ver > ?)\"\n	}"}}},
	{"the sweep takes rows that the bootstrap had nothing new for", 1, []edit{{put, "	if !t.naming || *mark", "	if MUTANT || !t.naming || *mark"}}},
	{"a bootstrap that goes on takes its newest head", 176, []edit{{bootstrap, "		now.Since = max(old.Since, b.Since)\n",
		"		now.Since = max(old.Since, b.Since)\n		if MUTANT {\n			now.Head = b.Head\n		}\n"}}},
	{"what the state has passed over stays in a thread", 737, []edit{{put, "if t.reloading && row.shown {", "if !MUTANT && t.reloading && row.shown {"}}},
	{"a page is taken for more than it holds", 1, []edit{{apply, "addSpan(e.after, span{from, to})", "addSpan(e.after, span{map[bool]int64{true: 1, false: from}[MUTANT], to})"}}},
	{"what is lost is not removed", 1, []edit{{purge, "id := t.w.refIDs[n]; !t.state.sees(chat.BrandID(id)) {", "id := t.w.refIDs[n]; !MUTANT && !t.state.sees(chat.BrandID(id)) {"}}},
	{"what was gained is asked for once", 1043, []edit{{fetching, "		m.fillBusy = false\n		if ev.Local {",
		"		m.fillBusy = false\n		if MUTANT && m.filling == FillGained {\n			m.filling = \"\"\n			return\n		}\n		if ev.Local {"}}},
	{"a contact that is missing is not asked for", 467, []edit{{contacts, "	if !m.unknown || m.asking", "	if MUTANT || !m.unknown || m.asking"}}},
	{"a silent socket is trusted", 1, []edit{{machine, "m.socket == socketWelcomed && now-m.heardAt.Mono > silentBeats*m.beat,", "!MUTANT && m.socket == socketWelcomed && now-m.heardAt.Mono > silentBeats*m.beat,"}}},
	{"another log is not noticed", 32, []edit{
		{machine, "(f.Epoch != \"\" && m.epoch != \"\" && f.Epoch != m.epoch) || f.Head < m.after", "!MUTANT && (f.Epoch != \"\" && m.epoch != \"\" && f.Epoch != m.epoch || f.Head < m.after)"},
		{machine, "m.do(Dial{m.gen, m.after, m.epoch})", "m.do(Dial{m.gen, m.after, map[bool]string{false: m.epoch}[MUTANT]})"},
		{fetching, "	m.pulling = true\n	m.do(Pull{m.position, m.epoch})", "	m.pulling = true\n	m.do(Pull{m.position, map[bool]string{false: m.epoch}[MUTANT]})"},
		{fetching, "page.Epoch != \"\" && m.epoch != \"\" && page.Epoch != m.epoch", "!MUTANT && page.Epoch != \"\" && m.epoch != \"\" && page.Epoch != m.epoch"}}},
	{"the echo goes before the row is there", 1, []edit{{outboxing, "err := o.cfg.Confirm(ctx, e, res); err != nil", "err := unless(MUTANT, func() error { return o.cfg.Confirm(ctx, e, res) }); err != nil"}}},
	{"an entry leaves the disk when it is sent", 1, []edit{{outboxing, "err := o.cfg.Store.Attempted(ctx, e)", "err := map[bool]func() error{true: func() error { return o.cfg.Store.Remove(ctx, e.ID) }, false: func() error { return o.cfg.Store.Attempted(ctx, e) }}[MUTANT]()"}}},
	{"a text that is tried again has a new id", 1, []edit{{outboxing, "	res, err := o.cfg.Submit(ctx, cmd)\n",
		"	if MUTANT && e.Attempts > 1 && e.Text() {\n		cmd.ID = chat.NewID[chat.Command]()\n" +
			"		cmd.Args = []byte(strings.Replace(string(cmd.Args), e.Message.String(), chat.NewID[chat.Message]().String(), 1))\n	}\n	res, err := o.cfg.Submit(ctx, cmd)\n"},
		{outboxing, "	\"slices\"\n", "	\"slices\"\n	\"strings\"\n"}}},
	{"a request that failed is forgotten", 1, []edit{{queue, "		q.backOff(now, l, retryAfter(err))\n	}\n	return Again", "		if MUTANT {\n			q.drop(l, i)\n			return Done\n		}\n		q.backOff(now, l, retryAfter(err))\n	}\n	return Again"}}},
	{"a refusal is taken for an answer", 1, []edit{{queue, "	it.Problem = res.Problem\n	return Refused", "	if MUTANT {\n		q.drop(l, i)\n		return Done\n	}\n	it.Problem = res.Problem\n	return Refused"}}},
	{"texts overtake a refused one", 27, []edit{{queue, "			held = held || it.Text() // the author decides first\n", "			held = !MUTANT && (held || it.Text())\n"}}},
	{"two texts of a chat are on their way at once", 1, []edit{
		{queue, "if l.sending || now.Mono < l.notBefore {", "if !MUTANT && l.sending || now.Mono < l.notBefore {"},
		{queue, "		switch {\n		case it.Problem != nil:\n", "		switch {\n		case MUTANT && it.Sending:\n		case it.Problem != nil:\n"}}},
	{"an emptied draft comes back", 129, []edit{{stored, "	return l.putDraft(tx, Draft{Conversation: e.Conversation, UpdatedAt: e.CreatedAt})",
		"	if MUTANT {\n		return l.dropDraft(tx, e.Conversation)\n	}\n	return l.putDraft(tx, Draft{Conversation: e.Conversation, UpdatedAt: e.CreatedAt})"},
		{drafting, "		d.set(d.based(cache.Draft{Conversation: op.conversation, UpdatedAt: op.at}))\n		due[op.conversation] = time.Now().Add(draftRest)\n",
			"		if MUTANT {\n			d.forget(op.conversation, due)\n		} else {\n			d.set(d.based(cache.Draft{Conversation: op.conversation, UpdatedAt: op.at}))\n			due[op.conversation] = time.Now().Add(draftRest)\n		}\n"}}},
	{"a draft goes with an older text that is sent again", 756, []edit{{writing, "err := s.draftOutlives(old.Conversation); err != nil {", "err := unless(MUTANT, func() error { return s.draftOutlives(old.Conversation) }); err != nil {"},
		{writing, "	if m.ReplyTo != \"\" {\n", "	if MUTANT {\n		args.Draft = nil\n	}\n	if m.ReplyTo != \"\" {\n"}}},
	{"what differs is not loaded again", 75, []edit{{proving, "	if len(differ) == 0 {\n", "	if MUTANT || len(differ) == 0 {\n"}}},
	{"a draft on its way is forgotten when it is emptied", 3860, []edit{{drafting, "				d.tries[op.draft.Conversation] = try{}\n", "				if MUTANT {\n					delete(d.tries, op.draft.Conversation)\n				} else {\n					d.tries[op.draft.Conversation] = try{}\n				}\n"}}},
	{"a draft that is refused is dropped", 786, []edit{{drafting, "	case refused != nil:\n", "	case !MUTANT && refused != nil:\n"}}},
	{"a draft is kept in memory only", 1, []edit{{drafting, "err := d.s.local.PutDraft(d.s.ctx, op.draft)", "err := unless(MUTANT, func() error { return d.s.local.PutDraft(d.s.ctx, op.draft) })"}}},
}

// TestMutants wants every mutant to be one of the code as it is now. With
// -mutants it builds them, and wants each caught.
func TestMutants(t *testing.T) {
	code := mutated(t)
	if !*mutate || t.Failed() {
		return
	}
	overlay := overlaid(t, code)
	program := built(t, overlay)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			run := exec.Command(program, "-test.timeout", "20m", "-test.run", "TestSchedules", "-broken", "1",
				"-schedules", fmt.Sprint(*patient), "-seed", fmt.Sprint(m.from))
			run.Env = append(os.Environ(), "PARLEY_MUTANT="+m.name)
			out, err := run.CombinedOutput()
			_, symptom, caught := strings.Cut(string(out), "seed ")
			switch {
			case err == nil:
				t.Errorf("not caught by %d schedules", *patient)
			case !caught:
				t.Errorf("it does not run: %v\n%s", err, out)
			default:
				lines := strings.SplitN(symptom, "\n", 3)
				t.Logf("caught: seed %s", strings.Join(lines[:min(2, len(lines))], " "))
			}
		})
	}
}

// mutated gives the files with all edits made, by their paths.
func mutated(t *testing.T) map[string]string {
	t.Helper()
	type place struct {
		at, end int
		to      string
	}
	code, places := map[string]string{}, map[string][]place{}
	for _, m := range mutants {
		for _, e := range m.edits {
			path, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(e.file)))
			if err != nil {
				t.Fatal(err)
			}
			if _, read := code[path]; !read {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				code[path] = string(b)
			}
			if n := strings.Count(code[path], e.from); n != 1 {
				t.Errorf("%s: %s has %d times:\n%s", m.name, e.file, n, e.from)
				continue
			}
			at := strings.Index(code[path], e.from)
			places[path] = append(places[path], place{at, at + len(e.from), strings.ReplaceAll(e.to, "MUTANT", fmt.Sprintf("mutant(%q)", m.name))})
		}
	}
	for path, list := range places {
		slices.SortFunc(list, func(a, b place) int { return cmp.Compare(b.at, a.at) }) // from the end
		next := len(code[path])
		for _, p := range list {
			if p.end > next {
				t.Errorf("%s: two edits touch %q", path, code[path][p.at:p.end])
				continue
			}
			code[path] = code[path][:p.at] + p.to + code[path][p.end:]
			next = p.at
		}
	}
	return code
}

// mutantFile is added to each package with edits.
const mutantFile = `package %s

import "os"

var theMutant = os.Getenv("PARLEY_MUTANT")

func mutant(name string) bool { return name == theMutant }

func unless(mutant bool, do func() error) error {
	if mutant {
		return nil
	}
	return do()
}

var _ = unless
`

// overlaid writes the files for the go command's -overlay.
func overlaid(t *testing.T, code map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path := range maps.Clone(code) {
		of := filepath.Dir(path)
		code[filepath.Join(of, "mutant.go")] = fmt.Sprintf(mutantFile, filepath.Base(of))
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range code {
		file := filepath.Join(dir, fmt.Sprintf("%d-%s", len(overlay.Replace), filepath.Base(path)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = file
	}
	list := filepath.Join(dir, "overlay.json")
	b, err := json.Marshal(overlay)
	if err == nil {
		err = os.WriteFile(list, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// built compiles these tests over the mutated files.
func built(t *testing.T, overlay string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mutants")
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-buildvcs=false", "-overlay", overlay, "-tags", "sqlite_fts5", "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("the mutants do not compile: %v\n%s", err, out)
	}
	return program
}
