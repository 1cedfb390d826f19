package cache

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/demo"
)

var allQuick = []Quick{QuickAll, QuickUnread, QuickMine, QuickUnassigned, QuickUnresolved, QuickResolved}

// wanted is the model of the lists: what a conversation must be to be in one.
func wanted(q Quick, c chat.Conversation, me chat.MemberID) bool {
	switch q {
	case QuickUnread:
		return c.Unread > 0
	case QuickMine:
		return c.Assignee == me
	case QuickUnassigned:
		return c.Assignee.IsZero()
	case QuickUnresolved:
		return c.Status == chat.StatusOpen
	case QuickResolved:
		return c.Status != chat.StatusOpen
	}
	return true
}

// filled gives a cache with a demo set and the set's conversations, newest first.
func filled(t *testing.T) (*Cache, *demo.Set, []chat.Conversation) {
	t.Helper()
	c, set := stocked(t, 400, 3000)
	var all []chat.Conversation
	for th := range set.Conversations() {
		all = append(all, th.Conversation)
	}
	slices.SortFunc(all, func(a, b chat.Conversation) int {
		return -cmp.Or(cmp.Compare(a.LastMessageAt, b.LastMessageAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	return c, set, all
}

func TestListsAgreeWithTheModel(t *testing.T) {
	c, set, all := filled(t)
	me := set.Members[3].ID
	for _, brand := range append([]chat.BrandID{{}}, set.Brands[0].ID, set.Brands[1].ID, set.Brands[2].ID) {
		for _, quick := range allQuick {
			for _, oldest := range []bool{false, true} {
				var want []chat.ConversationID
				for _, x := range all {
					if (brand.IsZero() || x.Brand == brand) && wanted(quick, x, me) {
						want = append(want, x.ID)
					}
				}
				if oldest {
					slices.Reverse(want)
				}
				if got := pages(t, c, ListQuery{Brand: brand, Quick: quick, Oldest: oldest, Me: me, Limit: 37}); !slices.Equal(got, want) {
					t.Errorf("%s of %q, oldest first %v: %d rows, want %d in their order", quick, brand, oldest, len(got), len(want))
				}
			}
		}
	}
}

// pages reads a list page by page to its end.
func pages(t *testing.T, c *Cache, q ListQuery) (ids []chat.ConversationID) {
	t.Helper()
	for {
		page, err := c.Conversations(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Rows {
			ids = append(ids, r.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}

func TestRowsSayWhoAndWhere(t *testing.T) {
	c, set, all := filled(t)
	kinds, names, labels := map[chat.ChannelID]chat.ChannelKind{}, map[chat.MemberID]string{}, map[chat.ContactID]string{}
	for _, x := range set.Channels {
		kinds[x.ID] = x.Kind
	}
	for _, x := range set.Members {
		names[x.ID] = x.Name
	}
	for th := range set.Conversations() {
		labels[th.Contact.ID] = th.Contact.Label()
	}
	page, err := c.Conversations(t.Context(), ListQuery{Limit: 100})
	if err != nil || len(page.Rows) != 100 {
		t.Fatalf("%d rows, %v", len(page.Rows), err)
	}
	for i, r := range page.Rows {
		want := all[i]
		if r.Label != labels[want.Contact] || r.ChannelKind != kinds[want.Channel] || r.Brand != want.Brand || r.AssigneeName != names[want.Assignee] {
			t.Errorf("row %d: %q %q %s %q", i, r.Label, r.ChannelKind, r.Brand, r.AssigneeName)
		}
		one, err := c.Row(t.Context(), want.ID)
		if err != nil || one.Label != r.Label || string(one.Conversation) != string(r.Conversation) {
			t.Errorf("row %d alone: %q, %v", i, one.Label, err)
		}
	}
}

func TestCountsAgreeWithTheModel(t *testing.T) {
	c, set, all := filled(t)
	me := set.Members[4].ID
	brands := map[string]int64{}
	quick := map[chat.BrandID]map[Quick]int64{{}: {}, set.Brands[0].ID: {}}
	for _, x := range all {
		if x.Unread == 0 {
			continue
		}
		brands[x.Brand.String()]++
		for brand := range quick {
			for _, q := range allQuick {
				if (brand.IsZero() || brand == x.Brand) && wanted(q, x, me) {
					quick[brand][q]++
				}
			}
		}
	}
	for brand, want := range quick {
		got, err := c.Counts(t.Context(), brand, me)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range allQuick {
			if got.Quick[q] != want[q] {
				t.Errorf("%s of %q: %d unread, want %d", q, brand, got.Quick[q], want[q])
			}
		}
		if fmt.Sprint(got.Brands) != fmt.Sprint(brands) {
			t.Errorf("brands %v, want %v", got.Brands, brands)
		}
	}
	if s, err := c.Stats(t.Context()); err != nil || s.Conversations != 400 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// TestNoListScansOrSorts reads the plans of every list, of the thread and of
// the counts: each must walk an index in its order.
func TestNoListScansOrSorts(t *testing.T) {
	c, set, all := filled(t)
	db := readOnly(t, c)
	last, err := c.Row(t.Context(), all[40].ID)
	if err != nil {
		t.Fatal(err)
	}
	next, err := cursor(last)
	if err != nil {
		t.Fatal(err)
	}
	for _, brand := range []chat.BrandID{{}, set.Brands[0].ID} {
		for _, quick := range allQuick {
			for _, oldest := range []bool{false, true} {
				for _, cur := range []string{"", next} {
					q := ListQuery{Brand: brand, Quick: quick, Oldest: oldest, Me: set.Members[3].ID, Cursor: cur}
					query, args, err := c.listQuery(q, 50)
					if err != nil {
						t.Fatal(err)
					}
					index, _ := quickLists(quick)
					checkPlan(t, db, index.index, query, args...)
				}
			}
		}
	}
	for _, index := range []string{"conversation USING INDEX sqlite_autoindex_conversation_1", "SEARCH s USING PRIMARY KEY", "SEARCH m USING INTEGER PRIMARY KEY"} {
		checkPlan(t, db, index, fmt.Sprintf(threadQuery, ""), all[0].ID, "", 0, 50)
	}
	checkPlan(t, db, "count_unread", fmt.Sprintf(countQuery, ""))
}

// TestWhatAMemberWroteIsNotLookedForInEveryConversation reads the plan of what
// every start asks, before anything is painted.
func TestWhatAMemberWroteIsNotLookedForInEveryConversation(t *testing.T) {
	c, _, _ := filled(t)
	rows, err := readOnly(t, c).Query("explain query plan " + ownRows)
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(printRows(t, rows), "\n"); strings.Contains(plan, "SCAN c") || !strings.Contains(plan, "SEARCH c USING INTEGER PRIMARY KEY") {
		t.Errorf("the plan reads every conversation:\n%s", plan)
	}
}

// readOnly is the cache's file on a connection of the test's own.
func readOnly(t *testing.T, c *Cache) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(filepath.Join(c.dir, cacheFile), "mode", "ro"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func checkPlan(t *testing.T, db *sql.DB, index, query string, args ...any) {
	t.Helper()
	rows, err := db.Query("explain query plan "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	plan := strings.Join(printRows(t, rows), "\n")
	if !strings.Contains(plan, index) {
		t.Errorf("the plan does not use %s:\n%s\n%s", index, query, plan)
	}
	if strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("the plan sorts:\n%s\n%s", query, plan)
	}
	for line := range strings.Lines(plan) {
		if strings.Contains(line, "SCAN") && !strings.Contains(line, "INDEX") && !strings.Contains(line, "SCAN w") && !strings.Contains(line, "SCAN first") && !strings.Contains(line, "CONSTANT ROW") {
			t.Errorf("the plan scans a table:\n%s\n%s", query, plan)
		}
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	c := open(t, t.TempDir())
	for _, q := range []ListQuery{{Quick: "best"}, {Cursor: "x"}, {Cursor: "1.zz"}, {Cursor: "1.00"}, {Cursor: "'; drop table message; --"}} {
		if _, err := c.Conversations(t.Context(), q); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%+v: %v, want invalid", q, err)
		}
	}
	page, err := c.Conversations(t.Context(), ListQuery{Quick: QuickMine, Brand: brandID(1), Me: memberID(1)})
	if err != nil || len(page.Rows) != 0 || page.Next != "" {
		t.Errorf("an empty cache: %+v, %v", page, err)
	}
}

func TestSearchFindsPeople(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	people := []chat.Contact{
		{Name: "Jürgen Müller", Email: "juergen.m@shop.example", Phone: "+49 1523 4567890"},
		{Name: "山田花子"}, {Name: "Анна Кузнецова"}, {Name: "محمد الحسن"}, {Name: "नोरा शर्मा"}, {Name: "김민준"},
		{Name: "O’Neill, Siân", Email: "sian@post.example"}, {Name: "Łukasz \"quoted\" AND NOT"}, {Email: "only@mail.example"},
	}
	var changes []chat.Change
	for i, p := range people {
		n := byte(i + 1)
		p.ID, p.Ver, p.Brand = contactID(n), int64(i+1), brandID(1)
		changes = append(changes, w.change(chat.EntityContact, p.ID.String(), p.Ver, p.Brand, chat.ConversationID{}, p))
	}
	for i := range people {
		changes = append(changes, w.conversation(byte(i+1), int64(20+i), 1, nil))
	}
	apply(t, c, changes...)
	for typed, want := range map[string]string{
		"jurgen": "1", "MÜLL": "1", "müller jür": "1", "müller anna": "", "juergen.m@shop": "1", "4567890": "1", "+49 1523": "1", "01523 456": "1", "7890": "1",
		"花子": "2", "山": "2", "田花": "2", "子": "2", "花山": "", "кузн": "3", "الحسن": "4", "محم": "4", "शर्मा": "5", "민준": "6", "김민준": "6",
		"o’neill": "7", "sian": "7", "lukasz": "8", "quoted": "8", `"quoted" and`: "8", "*": "", "?!": "", "only": "9", "mail.example": "9", "example": "179",
		"label:anna": "", "NEAR(a b)": "",
	} {
		page, err := c.Find(t.Context(), FindQuery{Query: parse(typed)})
		if err != nil {
			t.Errorf("%q: %v", typed, err)
			continue
		}
		var got []byte
		for _, r := range page.Rows {
			got = append(got, '0'+r.ID[15])
		}
		slices.Sort(got) // newest first is descending here
		if string(got) != want {
			t.Errorf("%q finds %s, want %s", typed, got, want)
		}
	}
	apply(t, c, w.contact(1, 90, 1, "Renamed"))
	if page, err := c.Find(t.Context(), FindQuery{Query: parse("müller")}); err != nil || len(page.Rows) != 0 {
		t.Errorf("the old name still finds %d, %v", len(page.Rows), err)
	}
}

func TestDirectoryIsReadable(t *testing.T) {
	c, set, all := filled(t)
	for what, list := range map[string]func() ([]json.RawMessage, error){
		"3 brands":    func() ([]json.RawMessage, error) { return c.Brands(t.Context()) },
		"14 channels": func() ([]json.RawMessage, error) { return c.Channels(t.Context()) },
		"8 members":   func() ([]json.RawMessage, error) { return c.Members(t.Context()) },
	} {
		got, err := list()
		if err != nil || fmt.Sprint(len(got)) != strings.Fields(what)[0] {
			t.Errorf("%s: %d, %v", what, len(got), err)
		}
	}
	if _, err := c.Workspace(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Member(t.Context(), set.Members[0].ID); err != nil {
		t.Error(err)
	}
	if _, err := c.Channel(t.Context(), set.Channels[0].ID); err != nil {
		t.Error(err)
	}
	if b, err := c.BrandOf(t.Context(), all[0].ID); err != nil || b != all[0].Brand {
		t.Errorf("brand %s, %v", b, err)
	}
	if list, err := c.ConversationsOfContact(t.Context(), all[0].Contact); err != nil || len(list) == 0 {
		t.Errorf("%d conversations of the contact, %v", len(list), err)
	}
	if _, err := c.Draft(t.Context(), all[0].ID); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("no draft: %v", err)
	}
}
