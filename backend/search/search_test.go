package search

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parley/backend/chat"
)

func TestParse(t *testing.T) {
	berlin := time.FixedZone("Berlin", 2*3600)
	for typed, want := range map[string]string{
		`invoice`:                      `words "invoice" match "invoice"*`,
		`an invoice late`:              `words "an invoice late" match "an" AND "invoice" AND "late"*`,
		`a`:                            `words "a" match "a"`,
		`"on its way" soon`:            `words "soon" match "on its way" AND "soon"*`,
		`"on its wa`:                   `words "" match "on its wa"*`,
		`“on its way”`:                 `words "" match "on its way"`,
		`from:ana hello`:               `words "hello" from [ana] match "hello"*`,
		`from:"Ana  María" x:y`:        `words "x:y" from [Ana María] match "x" AND "y"`,
		`From:me has:VOICE has:voice`:  `words "" from [me] has [voice] match `,
		`has:cheese`:                   `words "has:cheese" match "has" AND "cheese"*`,
		`has: channel:whats brand:Ac`:  `words "" channel [whats] brand [Ac] match `,
		`before:2026-05-01`:            `words "" before 2026-04-30T22:00:00Z match `,
		`after:2026-05 after:2026`:     `words "" after 2026-04-30T22:00:00Z match `,
		`before:soon`:                  `words "before:soon" match "before" AND "soon"*`,
		`after:2026-05-01T10:00:00Z x`: `words "x" after 2026-05-01T10:00:00Z match "x"`,
		`https://example.com/a`:        `words "https://example.com/a" match "https" AND "example" AND "com" AND "a"`,
		`?!`:                           `words "?!" match `,
		`Ärger Łódź`:                   `words "Ärger Łódź" match "arger" AND "lodz"*`,
		`什么时候退款`:                       `words "什么时候退款" match "什么 么时 时候 候退 退款"`,
		`退`:                            `words "退" match "退"*`,
		`iPhone手机`:                     `words "iPhone手机" match "iphone" AND "手机"`,
		`"手机 iphone"`:                  `words "" match "手机" AND "iphone"`,
	} {
		q := Parse(typed, berlin)
		got := describe(q)
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", typed, got, want)
		}
		if again := describe(Parse(q.String(), time.UTC)); !strings.HasPrefix(typed, `"on its wa`) && again != got {
			t.Errorf("%s is written as %s, which means\n    %s\nand not %s", typed, q.String(), again, got)
		}
	}
}

func describe(q Query) string {
	s := fmt.Sprintf("words %q", q.Words)
	list := func(name string, values []string) {
		if len(values) > 0 {
			s += fmt.Sprintf(" %s %v", name, values)
		}
	}
	list("from", q.From)
	list("channel", q.Channel)
	list("brand", q.Brand)
	if len(q.Has) > 0 {
		s += fmt.Sprintf(" has %v", q.Has)
	}
	moment := func(name string, at chat.Time) {
		if at != 0 {
			s += " " + name + " " + at.Std().UTC().Format(time.RFC3339)
		}
	}
	moment("before", q.Before)
	moment("after", q.After)
	return s + " match " + q.Match()
}

func parse(typed string) Query { return Parse(typed, time.UTC) }

func TestMatchWords(t *testing.T) {
	for typed, want := range map[string]string{
		`an order`:               `"an" "order"*`,
		`"on its way" soon`:      `"on" "its" "way" "soon"*`,
		`"on its wa`:             `"on" "its" "wa"*`,
		`什么时候`:                   `"什么" "么时" "时候"`,
		`退`:                      `"退"*`,
		`iPhone手机`:               `"iphone" "手机"`,
		`has:voice order order `: `"order" "order"* "§voice"`,
		`?!`:                     ``,
		strings.Repeat("什么时候退款到账订单你好", 20): `"什么" "么时" "时候" "候退" "退款" "款到" "到账" "账订" "订单" "单你" "你好" "好什"`,
	} {
		if got := strings.Join(parse(typed).MatchWords(), " "); got != want {
			t.Errorf("%s asks for %s, want %s", typed, got, want)
		}
	}
	long := "a"
	for i := range 300 {
		long += string(rune(0x4e00 + i))
	}
	if n := len(parse(long).MatchWords()); n != maxAsked {
		t.Errorf("a long text asks for %d words", n)
	}
	m := Message{Parts: []Part{{Kind: chat.PartVoice, Transcript: "Please call: 退款"}, {Kind: chat.PartImage, Name: "cup.jpg"}}}
	if got := m.Words(); got != "please call 退款 款 cup jpg §voice §image" {
		t.Errorf("words %q", got)
	}
}

// What is asked of an index of names is the same in FTS5's language and in lists.
func TestNamesAndNumbers(t *testing.T) {
	for typed, want := range map[string][2]string{
		"Łukasz bj":        {`"lukasz"* AND "bj"*`, "[[bj lukasz]]"},
		"太郎":               {`"太郎"`, "[[太郎]]"},
		"山田太":              {`"山田 田太"`, "[[山田 田太]]"},
		"太":                {`"太"*`, "[[太]]"},
		"+49 (170) 123-45": {`"4917012345"*`, "[[4917012345]]"},
		"0170 12":          {`"17012"*`, "[[17012]]"},
		"0421":             {`"421"* OR "0421"*`, "[[421] [0421]]"},
		"12":               {`"12"*`, "[[12]]"},
		"?!":               {"", "[]"},
	} {
		q := parse(typed)
		if got := [2]string{q.MatchNames(), fmt.Sprint(q.Beginnings())}; got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
		if a, b := fmt.Sprint(q.Beginnings()), fmt.Sprint(Beginnings(typed)); a != b {
			t.Errorf("%q: as a query %s, as a text %s", typed, a, b)
		}
	}
	if got := IndexPhone("+49 17"); got != "4917 917 " {
		t.Errorf("a number is indexed as %q", got)
	}
}

func TestHitsAndMarks(t *testing.T) {
	decomposed := norm.NFD.String("배송")
	for _, c := range []struct{ text, typed, want string }{
		{"Where is my order?", "order", "Where is my [order]?"},
		{"Where is my order?", "ord", "Where is my [order]?"},
		{"Where is my order?", "ord where", ""},
		{"Where is my order?", `"my order"`, "Where is [my] [order]?"},
		{"Where is my order?", `"order my"`, ""},
		{"MÜNCHEN und Straße", "munchen strasse", "[MÜNCHEN] und [Straße]"},
		{"Mu\u0308nchen ruft", "münchen", "[Mu\u0308nchen] ruft"},
		{"tschüß 😀 łódź", "lodz", "tschüß 😀 [łódź]"},
		{"什么时候退款到账", "退款", "什么时候[退款]到账"},
		{"退款 oder 退款", "退款", "[退款] oder [退款]"},
		{"什么时候退款到账", "款退", ""},
		{"什么时候退款到账", "账", "什么时候退款到[账]"},
		{"新しいｶﾞｲﾄﾞです", "ガイド", "新しい[ｶﾞｲﾄﾞ]です"},
		{"コーヒーをください", "ーヒー", "コ[ーヒー]をください"},
		{"배송이 늦어요", "배송", "[배송]이 늦어요"},
		{decomposed, "배송", "[" + decomposed + "]"},
		{"ขอคืนเงินด้วยค่ะ", "คืนเงิน", "ขอ[คืนเงิน]ด้วยค่ะ"},
		{"手机 iphone und", `"手机 iphone"`, "[手机] [iphone] und"},
		{"line\n\n two", "two", "line [two]"},
		{"कीमत क्या है", "कीमत", "[कीमत] क्या है"},
		{"ｉＰｈｏｎｅ", "iphone", "[ｉＰｈｏｎｅ]"},
		{"a<b>bold</b>", "bold", "a<b>[bold]</b>"},
		{"soft\u00adware", "software", "[soft\u00adware]"},
	} {
		q := parse(c.typed)
		if hits := q.Hits(c.text); hits != (c.want != "") {
			t.Errorf("%q in %q: %v", c.typed, c.text, hits)
		}
		if c.want == "" {
			continue
		}
		if got := bracketed(t, q.Snippet(c.text)); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.typed, c.text, got, c.want)
		}
	}
}

func TestWordsMayStandInSeveralTexts(t *testing.T) {
	if q := parse("invoice april"); !q.Hits("see the invoice", "april.pdf") || q.Hits("see the invoice") {
		t.Error("words of a message may be in its text and in its file's name, and all must be there")
	}
}

func TestSnippetOfALongText(t *testing.T) {
	text := strings.Repeat("lorem ipsum ", 400) + "needle " + strings.Repeat("dolor sit ", 400)
	s := parse("needle").Snippet(text)
	got := bracketed(t, s)
	if !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "…") || !strings.Contains(got, "[needle] dolor") || utf8.RuneCountInString(s.Text) > snippetLen+2 {
		t.Errorf("%q", got)
	}
	if at := strings.Index(got, "["); at > 40 {
		t.Errorf("the mark begins only after %d bytes: a row in a list would not show it", at)
	}
}

func TestScore(t *testing.T) {
	q := parse("late order")
	for _, c := range [][2]string{
		{"late order", "order number seven is a little late today"},
		{"my late order", "my orderly life and late " + strings.Repeat("many words ", 40)},
		{"late order and order", strings.Repeat("other ", 30) + "late things order"},
	} {
		if q.Score(c[0]) <= q.Score(c[1]) {
			t.Errorf("%q scores %.2f, %q scores %.2f", c[0], q.Score(c[0]), c[1], q.Score(c[1]))
		}
	}
}

// bracketed puts the marks into the text.
func bracketed(t testing.TB, s Snippet) string {
	t.Helper()
	units := utf16.Encode([]rune(s.Text))
	var b strings.Builder
	last := 0
	for _, m := range s.Marks {
		if m[0] < last || m[1] <= m[0] || m[1] > len(units) {
			t.Fatalf("marks %v of a text of %d units", s.Marks, len(units))
		}
		b.WriteString(string(utf16.Decode(units[last:m[0]])) + "[" + string(utf16.Decode(units[m[0]:m[1]])) + "]")
		last = m[1]
	}
	return b.String() + string(utf16.Decode(units[last:]))
}

// TestEveryPartOfARunIsFound: a run of an unspaced script is found by each part
// of it with two characters or more, in the index and in the text.
func TestEveryPartOfARunIsFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabets := []string{"退款订单什么时候到账你好", "ひらがなをよむ", "カタカナガイドー", "배송이늦어요환불", "กขคงเงินคืน", "ຂອຢາກຄນເງ", "ខចងបានរកវ", "ငပနအမခတယ"}
	for range 2000 {
		letters := []rune(alphabets[r.IntN(len(alphabets))])
		run := make([]rune, 2+r.IntN(12))
		for i := range run {
			run[i] = letters[r.IntN(len(letters))]
		}
		text := "ok " + string(run) + ", 12"
		from := r.IntN(len(run) - 1)
		part := string(run[from : from+2+r.IntN(len(run)-from-1)])
		q := parse(part)
		if !q.Hits(text) {
			t.Fatalf("%q does not hit %q", part, text)
		}
		if phrase := strings.Trim(q.Match(), `"`); !strings.Contains(" "+Index(text)+" ", " "+phrase+" ") {
			t.Fatalf("%q is asked for as %q and indexed as %q", part, phrase, Index(text))
		}
		if got := bracketed(t, q.Snippet(text)); !strings.Contains(got, "["+part) {
			t.Fatalf("%q is marked as %q", part, got)
		}
	}
}

// TestWordsOfScriptsWithoutSpaces: a word is found inside the sentence it is written into.
func TestWordsOfScriptsWithoutSpaces(t *testing.T) {
	for name, c := range map[string][2]string{
		"Thai":     {"ฉันต้องการเงินคืน", "เงินคืน"},
		"Lao":      {"ຂ້ອຍຢາກຄືນເງິນ", "ຄືນເງິນ"},
		"Khmer":    {"ខ្ញុំចង់បានប្រាក់វិញ", "ប្រាក់"},
		"Burmese":  {"ငွေပြန်အမ်းချင်ပါတယ်", "ပြန်အမ်း"},
		"Japanese": {"返金してください", "返金"},
	} {
		q := parse(c[1])
		if !q.Hits(c[0]) || !strings.Contains(" "+Index(c[0])+" ", " "+strings.Trim(q.Match(), `"`)+" ") {
			t.Errorf("%s: %q is not found in %q: asked for as %q, indexed as %q", name, c[1], c[0], q.Match(), Index(c[0]))
		}
		if got := bracketed(t, q.Snippet(c[0])); !strings.Contains(got, "["+c[1]) {
			t.Errorf("%s: marked as %q", name, got)
		}
	}
}

// FuzzParse: whatever is typed is a query, which can be written, asked and shown.
func FuzzParse(f *testing.F) {
	for _, typed := range []string{"", `from:"a b" "c d`, "has:voice before:2026-01-01 x", "退款 订单", "“", "a:b:c", "\"", "ｶﾞ㎏½", "\xff\"", "e\u0301\u0301", "x* OR y NEAR("} {
		f.Add(typed, "Some text 退款到账 with a \"quote\" and e\u0301 ﷺ")
	}
	f.Fuzz(func(t *testing.T, typed, text string) {
		q := parse(typed)
		again := parse(q.String())
		if !slices.Equal(again.From, q.From) && !strings.ContainsAny(typed, `"“”„«»`) || again.Before != q.Before || again.After != q.After {
			t.Fatalf("%q is written as %q", typed, q.String())
		}
		// Nothing that was typed becomes a word of FTS5's own language.
		if m := strings.NewReplacer(`" AND "`, "", `"* AND "`, "").Replace(q.Match()); strings.Count(m, `"`) > 2 {
			t.Fatalf("%q is asked for as %s", typed, q.Match())
		}
		if utf8.ValidString(text) {
			bracketed(t, q.Snippet(text))
			if whole := parse(`"` + strings.Join(strings.Fields(text), " ")); whole.HasWords() && !strings.ContainsAny(text, `"“”„«»`) && len(text) < maxTyped && len(whole.terms[0].tokens) < maxTerms && !whole.Hits(text) {
				t.Fatalf("%q does not hit itself", text)
			}
		}
	})
}

func TestFoldKeepsWhatTellsNamesApart(t *testing.T) {
	for _, pair := range [][2]string{{"か", "が"}, {"कि", "क"}, {"กิน", "กน"}, {"ana", "ano"}} {
		if Fold(pair[0]) == Fold(pair[1]) {
			t.Errorf("%q and %q fold to the same %q", pair[0], pair[1], Fold(pair[0]))
		}
	}
}

// TestEachPairFoldsAsAWhole: what foldEach takes character by character joins
// with none of the others it takes.
func TestEachPairFoldsAsAWhole(t *testing.T) {
	var all []rune
	for r := rune(0x80); r < 0x20000; r++ {
		if _, _, ok := foldEach(string(r), false); ok && (r < aloneEnd || r < 0x3100 || r%97 == 0) {
			all = append(all, r)
		}
	}
	if len(all) < 1500 {
		t.Fatalf("only %d characters are folded alone", len(all))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i, a := range all {
		for range 40 {
			b := all[r.IntN(len(all))]
			text := string(a) + string(b)
			if got, _, _ := foldEach(text, false); got != foldWhole(text) {
				t.Fatalf("%q (%x) folds to %q one by one and to %q as a whole, the %dth", text, text, got, foldWhole(text), i)
			}
		}
	}
}

// FuzzFold: folding twice changes nothing, and folding character by character
// says what folding the whole does, where each comes from included.
func FuzzFold(f *testing.F) {
	f.Add("Großmann ﬁ 김민준")
	f.Add("ёЙ Ǆ İ ŉ ΐ Ϋ ﻻ ٱلعربية أ לָּ ΑΣ")
	f.Fuzz(func(t *testing.T, text string) {
		if folded, at, ok := foldEach(text, true); ok && utf8.ValidString(text) {
			if whole := foldWhole(text); folded != whole {
				t.Errorf("%q folds to %q one by one and to %q as a whole", text, folded, whole)
			}
			if slow, slowAt := foldPlaces(text); folded != slow || !slices.Equal(at, slowAt) {
				t.Errorf("%q: %q from %v one by one, %q from %v piece by piece", text, folded, at, slow, slowAt)
			}
		}
		once := Fold(text)
		if twice := Fold(once); twice != once {
			t.Errorf("%q folds to %q and then to %q", text, once, twice)
		}
	})
}
