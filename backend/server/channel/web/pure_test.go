package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"parley/backend/chat"
	"parley/backend/protocol"
)

func TestOriginsAreComparedAsBrowsersWriteThem(t *testing.T) {
	for in, want := range map[string]string{
		"https://shop.example":         "https://shop.example",
		" HTTPS://Shop.Example:443/ ":  "https://shop.example",
		"http://127.0.0.1:8080":        "http://127.0.0.1:8080",
		"http://[::1]:80":              "http://[::1]",
		"https://shop.example/path":    "",
		"https://u:p@shop.example":     "",
		"https://*.example":            "",
		"https://shop.example;x":       "",
		"https://shop.example 'self'":  "",
		"https://shop.example\r\nX: y": "",
		"javascript:alert(1)":          "",
		"file:///etc":                  "",
		"null":                         "",
		"":                             "",
		"*":                            "",
	} {
		got, ok := canonicalOrigin(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestUserHashProvesTheUser(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte("user 7"))
	right := hex.EncodeToString(mac.Sum(nil))
	for _, c := range []struct {
		name     string
		profile  *protocol.VisitorProfile
		secret   string
		verified bool
		code     chat.Code
	}{
		{"no profile", nil, "secret", false, ""},
		{"a claim", &protocol.VisitorProfile{UserID: "user 7"}, "secret", false, ""},
		{"right", &protocol.VisitorProfile{UserID: "user 7", UserHash: right}, "secret", true, ""},
		{"right in capitals", &protocol.VisitorProfile{UserID: "user 7", UserHash: strings.ToUpper(right)}, "secret", true, ""},
		{"another user", &protocol.VisitorProfile{UserID: "user 8", UserHash: right}, "secret", false, chat.CodeForbidden},
		{"cut", &protocol.VisitorProfile{UserID: "user 7", UserHash: right[:62]}, "secret", false, chat.CodeForbidden},
		{"no hex", &protocol.VisitorProfile{UserID: "user 7", UserHash: "zz"}, "secret", false, chat.CodeForbidden},
		{"another secret", &protocol.VisitorProfile{UserID: "user 7", UserHash: right}, "other", false, chat.CodeForbidden},
		{"a channel without secret", &protocol.VisitorProfile{UserID: "user 7", UserHash: right}, "", false, chat.CodeForbidden},
	} {
		verified, err := verify(c.profile, c.secret)
		if verified != c.verified || chat.ErrorCode(err) != c.code {
			t.Errorf("%s: %v %v", c.name, verified, err)
		}
	}
}

func TestBadInputNamesItsField(t *testing.T) {
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	for body, want := range map[string]string{
		`{"id":"` + id + `","text":"hi"}`:        "",
		`{"id":"` + id + `","text":"hi","x":{}}`: "",
		``:                                       "invalid body",
		`null`:                                   "invalid body",
		`[]`:                                     "invalid body",
		`{"id":"` + id + `","text":"hi"} x`:      "invalid body",
		`{"id":7,"text":"hi"}`:                   "invalid id",
		`{"text":"hi"}`:                          "invalid id",
		`{"id":null,"text":"hi"}`:                "invalid id",
		`{"id":"7","text":"hi"}`:                 "invalid id",
		`{"id":"00000000-0000-0000-0000-000000000000","text":"hi"}`:                                   "invalid id",
		`{"id":"` + id + `","text":7}`:                                                                "invalid text",
		`{"id":"` + id + `","text":{}}`:                                                               "invalid text",
		`{"id":"` + id + `","text":" \n\t"}`:                                                          "invalid text",
		`{"id":"` + id + `"}`:                                                                         "invalid text",
		`{"id":"` + id + `","text":"a\u0000b"}`:                                                       "invalid text",
		`{"id":"` + id + `","text":"a` + "\xff" + `b"}`:                                               "invalid body",
		`{"id":"` + id + `","text":"a\ud800b"}`:                                                       "invalid body",
		`{"id":"` + id + `","text":"\ud83d\ude00"}`:                                                   "",
		`{"id":"` + id + `","files":[{"sha256":7}]}`:                                                  "invalid files.0.sha256",
		`{"id":"` + id + `","text":"` + strings.Repeat("x", chat.MaxTextBytes+1) + `"}`:               "too_large text",
		`{"id":"` + id + `","files":7}`:                                                               "invalid files",
		`{"id":"` + id + `","files":[{"sha256":"abc"}]}`:                                              "invalid files.0.sha256",
		`{"id":"` + id + `","files":[{"sha256":"` + strings.Repeat("A", 64) + `"}]}`:                  "invalid files.0.sha256",
		`{"id":"` + id + `","files":[{"sha256":"` + strings.Repeat("a", 64) + `","name":"x\u0000"}]}`: "invalid files.0.name",
		`{"id":"` + id + `","files":[` + strings.Repeat(`{"sha256":"`+strings.Repeat("a", 64)+`"},`, chat.MaxParts) + `{}]}`: "invalid files.20.sha256",
	} {
		_, _, err := decodeSend([]byte(body))
		if got := codeAndField(err); got != want {
			t.Errorf("%.80s: %q, want %q", body, got, want)
		}
	}
	for body, want := range map[string]string{
		`{"channel":"k"}`: "",
		`{"channel":"k","profile":null,"utm":null}`: "",
		`{}`:                                 "invalid channel",
		`{"channel":7}`:                      "invalid channel",
		`{"channel":"k","visitor_token":[]}`: "invalid visitor_token",
		`{"channel":"k","visitor_token":"` + strings.Repeat("x", 999) + `"}`:          "invalid visitor_token",
		`{"channel":"k","profile":7}`:                                                 "invalid profile",
		`{"channel":"k","profile":{"name":7}}`:                                        "invalid profile.name",
		`{"channel":"k","profile":{"name":"a\u0000"}}`:                                "invalid profile.name",
		`{"channel":"k","profile":{"name":"` + "\xc3" + `"}}`:                         "invalid body",
		`{"channel":"k","profile":{"name":"\udc00"}}`:                                 "invalid body",
		`{"channel":"k","profile":{"email":"nobody"}}`:                                "invalid profile.email",
		`{"channel":"k","profile":{"user_hash":"ff"}}`:                                "invalid profile.user_id",
		`{"channel":"k","utm":{"source":7}}`:                                          "invalid utm",
		`{"channel":"k","utm":{"source":"\u0000"}}`:                                   "invalid utm.source",
		`{"channel":"k","page":"http://x.example/` + strings.Repeat("y", 9999) + `"}`: "",
		`{"channel":"k","page":"\u0000"}`:                                             "invalid page",
	} {
		_, err := decodeSession([]byte(body))
		if got := codeAndField(err); got != want {
			t.Errorf("%.80s: %q, want %q", body, got, want)
		}
	}
	for text, want := range map[string]string{"": "", "0": "", "17": "", "-1": "invalid after", "x": "invalid after",
		"9007199254740992": "invalid after", "1e3": "invalid after", "99999999999999999999": "invalid after"} {
		if _, err := decodeAfter(text); codeAndField(err) != want {
			t.Errorf("after=%s: %v", text, err)
		}
	}
}

func TestFieldsAreNamedAsTheVisitorSentThem(t *testing.T) {
	text, file := chat.TextPart("hi"), chat.Part{Kind: chat.PartFile}
	for _, c := range []struct {
		field string
		parts []chat.Part
		want  string
	}{
		{"parts", []chat.Part{text, file}, "text"},
		{"parts.0.text", []chat.Part{text, file}, "text"},
		{"parts.1.sha256", []chat.Part{text, file}, "files.0.sha256"},
		{"parts.1.sha256", []chat.Part{file, file}, "files.1.sha256"},
		{"parts.0", []chat.Part{file}, "files.0"},
		{"parts", []chat.Part{file}, "files"},
		{"id", []chat.Part{text}, "id"},
	} {
		if got := codeAndField(asSent(chat.Invalid(c.field, "No."), c.parts)); got != "invalid "+c.want {
			t.Errorf("%s: %q, want %q", c.field, got, c.want)
		}
	}
}

func codeAndField(err error) string {
	if err == nil {
		return ""
	}
	p := protocol.ProblemOf(err)
	return strings.TrimSpace(string(p.Code) + " " + p.Field)
}

func TestAddressesOfPagesAreOnlyWebAddresses(t *testing.T) {
	o := originOf(protocol.VisitorSession{Page: "https://shop.example/a", Referrer: "javascript:alert(1)"})
	if o == nil || o.Page != "https://shop.example/a" || o.Referrer != "" {
		t.Errorf("%+v", o)
	}
	if o := originOf(protocol.VisitorSession{Page: "data:text/html,x"}); o != nil {
		t.Errorf("%+v", o)
	}
}

func TestAgents(t *testing.T) {
	for ua, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36":                         "Windows, Chrome 128",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1": "iPhone, Safari 17",
		"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0":                                                                  "Linux, Firefox 130",
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36":        "Android, Samsung Internet 25",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/127.0.0.0 Safari/537.36 Edg/127.0.0.0":                         "Mac, Edge 127",
		"curl/8.5.0": ", ",
		"":           ", ",
	} {
		device, browser := describeAgent(ua)
		if got := device + ", " + browser; got != want {
			t.Errorf("%s: %s, want %s", ua, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(Rate{Burst: 2, PerSecond: 0.5}, func() time.Time { return now })
	for range 2 {
		if err := l.take("a", 1); err != nil {
			t.Fatal(err)
		}
	}
	err := l.take("a", 1)
	p := protocol.ProblemOf(err)
	if p.Code != chat.CodeTooMany || p.Status != http.StatusTooManyRequests || p.RetryAfter != 2 {
		t.Errorf("%+v", p)
	}
	if err := l.take("b", 1); err != nil {
		t.Errorf("another visitor waits: %v", err)
	}
	now = now.Add(2 * time.Second)
	if err := l.take("a", 1); err != nil {
		t.Errorf("a refused try cost something: %v", err)
	}
	if err := l.take("c", 1000); err != nil {
		t.Errorf("more than a bucket never fits: %v", err)
	}
}

func TestLimitsForgetFullBuckets(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(Rate{Burst: 1, PerSecond: 1}, func() time.Time { return now })
	for i := range maxBuckets + 10 {
		if err := l.take(string(rune(i+1))+"x", 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

func TestAddressOfAPeer(t *testing.T) {
	for in, want := range map[string]string{"10.1.2.3:99": "10.1.2.3", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5": "fe80::/64", "[::ffff:10.1.2.3]:1": "::ffff:10.1.2.3", "odd": "odd"} {
		if got := peerAddress(&http.Request{RemoteAddr: in}); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestTooMuchIsRefusedBeforeItIsRead(t *testing.T) {
	body := &countingReader{}
	r := httptest.NewRequest("POST", "/", body)
	r.ContentLength = protocol.MaxBody + 1
	if _, err := readBody(httptest.NewRecorder(), r); chat.ErrorCode(err) != chat.CodeTooLarge || body.n != 0 {
		t.Errorf("%v after %d bytes", err, body.n)
	}
	r = httptest.NewRequest("POST", "/", body)
	r.ContentLength = -1
	if _, err := readBody(httptest.NewRecorder(), r); chat.ErrorCode(err) != chat.CodeTooLarge || body.n > 2*protocol.MaxBody {
		t.Errorf("%v after %d bytes", err, body.n)
	}
}

type countingReader struct{ n int }

func (c *countingReader) Read(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}

func FuzzSession(f *testing.F) {
	f.Add([]byte(`{"channel":"k","visitor_token":"t","profile":{"user_id":"1","user_hash":"ff","name":"A","email":"a@b.c"},"page":"https://x.example/","utm":{"source":"s"}}`))
	f.Add([]byte(`{"channel":"k","profile":null}`))
	f.Add([]byte("{\"channel\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := decodeSession(body)
		if err != nil {
			refusedProperly(t, err)
			return
		}
		text, err := json.Marshal(req)
		if err != nil || !utf8.Valid(text) || strings.Contains(req.Channel+req.Page+req.VisitorToken, "\x00") {
			t.Errorf("accepted %q", body)
		}
	})
}

func FuzzSend(f *testing.F) {
	f.Add([]byte(`{"id":"01890a5d-ac96-774b-bcce-b302099a8057","text":"hi","files":[{"sha256":"` + strings.Repeat("a", 64) + `","name":"a/b.png"}]}`))
	f.Add([]byte(`{"id":7,"text":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, parts, err := decodeSend(body)
		if err != nil {
			refusedProperly(t, err)
			return
		}
		if id.IsZero() {
			t.Error("a message without an id")
		}
		if err := chat.CheckParts(parts); err != nil {
			t.Errorf("accepted what the domain refuses: %v", err)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"type":"hello","token":"t","after":7}`))
	f.Add([]byte(`{"type":"read","upto":9}`))
	f.Add([]byte(`{"type":7}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := decodeFrame(data)
		if err != nil {
			refusedProperly(t, err)
			return
		}
		if frame.After < 0 || frame.Upto < 0 || len(frame.Token) > maxToken {
			t.Errorf("%+v", frame)
		}
	})
}

// refusedProperly fails for errors that are not the sender's.
func refusedProperly(t *testing.T, err error) {
	t.Helper()
	if p := protocol.ProblemOf(err); p.Status < 400 || p.Status >= 500 || p.Detail == "" || !utf8.ValidString(p.Field) {
		t.Errorf("%+v", p)
	}
}
