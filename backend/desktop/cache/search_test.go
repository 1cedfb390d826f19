package cache

import (
	"testing"

	"parley/backend/chat"
)

// TestSearchFindsNamesAsShownAndTyped has names as people are called and as
// they are typed by somebody with another keyboard; each pair finds in both
// directions.
func TestSearchFindsNamesAsShownAndTyped(t *testing.T) {
	for _, pair := range [][2]string{
		{"Łukasz", "Lukasz"}, {"Großmann", "Grossmann"}, {"GROẞMANN", "grossmann"}, {"Ødegård", "Odegard"}, {"Алёна", "Алена"},
		{"Γιώργος", "Γιωργος"}, {"Γιώργος", "ΓΙΩΡΓΟΣ"}, {"김민준", "김민준"}, {"Smith", "Ｓｍｉｔｈ"},
		{"Griffin", "Griﬃn"}, {"Fiona", "ﬁona"}, {"Đorđević", "Dordevic"}, {"Ægir", "aegir"}, {"Œuvre", "oeuvre"}, {"Işıl", "isil"},
		{"İpek", "ipek"}, {"Jürgen", "Jürgen"}, {"Þór", "thor"}, {"أحمد", "احمد"}, {"शर्मा", "शर्मा"}, {"ガブリエル", "ｶﾞﾌﾞﾘｴﾙ"},
	} {
		for _, dir := range [][2]string{pair, {pair[1], pair[0]}} {
			t.Run(dir[0]+" by "+dir[1], func(t *testing.T) {
				c, w := open(t, t.TempDir()), world{t}
				apply(t, c, w.contact(1, 1, 1, dir[0]), w.contact(2, 2, 1, "Somebody Else"), w.conversation(1, 3, 1, nil), w.conversation(2, 4, 1, nil))
				page, err := c.Find(t.Context(), FindQuery{Query: parse(dir[1])})
				if err != nil || len(page.Rows) != 1 || page.Rows[0].ID != conversationID(1) {
					t.Errorf("%q finds %d, %v", dir[1], len(page.Rows), err)
				}
			})
		}
	}
}

// TestSearchFindsVisitorsWithoutAName looks for the label that the list shows,
// also while the contact itself has not come.
func TestSearchFindsVisitorsWithoutAName(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	visitor := func(n byte) chat.ContactID {
		x := contactID(n)
		x[14], x[15] = 0x18, n
		return x
	}
	conversation := func(n byte, ver int64) chat.Change {
		return w.conversation(n, ver, 1, func(c *chat.Conversation) { c.Contact = visitor(0xe0 + n) })
	}
	come := func(n byte, ver int64, name string) chat.Change {
		x := chat.Contact{ID: visitor(0xe0 + n), Ver: ver, Brand: brandID(1), Name: name}
		return w.change(chat.EntityContact, x.ID.String(), ver, x.Brand, chat.ConversationID{}, x)
	}
	find := func(typed string) (got string) {
		t.Helper()
		page, err := c.Find(t.Context(), FindQuery{Query: parse(typed), Oldest: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Rows {
			got += string('0' + r.ID[15])
		}
		return got
	}
	apply(t, c, come(9, 1, ""), conversation(9, 2), conversation(8, 3)) // 8 is only pointed to
	for typed, want := range map[string]string{"Visitor 18e9": "9", "18e9": "9", "visitor": "98", "18E8": "8"} {
		if got := find(typed); got != want {
			t.Errorf("%q finds %q, want %q", typed, got, want)
		}
	}
	apply(t, c, come(9, 4, "Ana"))
	if got := find("18e9"); got != "" {
		t.Errorf("who has a name now is still found by the number: %q", got)
	}
	x := chat.ContactID{0: 7, 14: 0x01, 15: 0x23} // Visitor 0123
	apply(t, c, w.conversation(3, 9, 1, func(c *chat.Conversation) { c.Contact = x }))
	if got := find("0123"); got != "3" {
		t.Errorf("a number with a leading zero finds %q", got)
	}
}
