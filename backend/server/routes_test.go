package server_test

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everybody may use these roles' routes: who may is written out here, by hand,
// so that a slip in the route table shows.
const (
	all    = "owner admin supervisor agent"
	admins = "owner admin"
	anyone = "anyone" // no token needed
	guests = "visitor"
)

// may is the whole authorisation table. A route that is not here fails.
var may = map[string]string{
	"GET /healthz":                        anyone,
	"GET /readyz":                         anyone,
	"GET /metrics":                        anyone,
	"GET /openapi.json":                   anyone,
	"POST /v1/setup":                      anyone,
	"POST /v1/session":                    anyone,
	"DELETE /v1/session":                  all,
	"GET /v1/sessions":                    all,
	"DELETE /v1/sessions/{id}":            all,
	"GET /v1/changes":                     all,
	"GET /v1/state":                       all,
	"GET /v1/bootstrap":                   all,
	"POST /v1/commands":                   all,
	"POST /v1/digest":                     all,
	"GET /v1/conversations":               all,
	"GET /v1/conversations/{id}":          all,
	"GET /v1/conversations/{id}/messages": all,
	"GET /v1/search":                      all,
	"GET /v1/contacts":                    all,
	"GET /v1/contacts/{id}":               all,
	"GET /v1/members":                     all,
	"POST /v1/members":                    admins,
	"PATCH /v1/members/{id}":              admins,
	"HEAD /v1/files/{sha256}":             all,
	"PUT /v1/files/{sha256}":              all,
	"GET /v1/files/{sha256}":              all,
	"GET /v1/live":                        all,
	"GET /c/{slug}":                       anyone,
	"GET /widget.js":                      anyone,
	"GET /widget/{key}":                   anyone,
	"GET /widget/asset/{file}":            anyone,
	"POST /v1/visitor/session":            anyone,
	"POST /v1/visitor/messages":           guests,
	"GET /v1/visitor/messages":            guests,
	"HEAD /v1/visitor/files/{sha256}":     guests,
	"PUT /v1/visitor/files/{sha256}":      guests,
	"GET /v1/visitor/files/{sha256}":      guests,
	"GET /v1/visitor/live":                guests,
}

func TestEveryRouteAgainstEveryRole(t *testing.T) {
	r := newRig(t, onSQLite(t))
	_, v := r.conversation()
	tokens := map[string]string{"nobody": "", "visitor": v.token, "stranger": "a token that nobody has",
		"owner": r.owner.Token, "admin": r.member("Ada", chat.RoleAdmin).Token,
		"supervisor": r.member("Sue", chat.RoleSupervisor).Token, "agent": r.member("Ana", chat.RoleAgent).Token}
	names := map[string]string{"owner": "olga", "admin": "ada", "supervisor": "sue", "agent": "ana"}
	known := map[string]bool{}
	for _, route := range r.srv.Routes() {
		key := route.Method + " " + route.Path
		known[key] = true
		allowed, ok := may[key]
		if !ok {
			t.Errorf("%s is not in the table: write down who may use it", key)
			continue
		}
		for who, token := range tokens {
			if name := names[who]; name != "" && key == "DELETE /v1/session" {
				token = r.signIn(name+"@northwind.example", "signs out").Token // the other one is needed
			}
			got := r.door(route, token)
			want := "in"
			switch {
			case allowed == anyone:
			case allowed == guests:
				if who != "visitor" {
					want = "401"
				}
			case who == "nobody" || who == "visitor" || who == "stranger":
				want = "401"
			case !slices.Contains(strings.Fields(allowed), who):
				want = "403"
			}
			if got != want {
				t.Errorf("%s as %s: %s, want %s", key, who, got, want)
			}
		}
	}
	for key := range may {
		if !known[key] {
			t.Errorf("%s is in the table but not in the router", key)
		}
	}
}

// door tries a route and says whether the caller got past the door: whatever
// then is wrong with the request is another matter.
func (r *rig) door(route api.Route, token string) string {
	r.Helper()
	if route.Status == http.StatusSwitchingProtocols {
		return r.doorOfSocket(route.Path, token)
	}
	path := strings.NewReplacer("{id}", chat.NewID[chat.Member]().String(), "{sha256}", strings.Repeat("ab", 32),
		"{slug}", "none", "{key}", "none", "{file}", "none").Replace(route.Path)
	if route.Path == "/v1/changes" || route.Path == "/v1/state" {
		path += "?after=0"
	}
	var body any
	if route.Method == http.MethodPost || route.Method == http.MethodPatch || route.Method == http.MethodPut {
		body = "{}"
	}
	a := r.do(route.Method, path, token, body)
	// Routes without a member answer 401 and 403 for their own reasons.
	if route.Access == api.Public {
		return "in"
	}
	switch a.status {
	case http.StatusUnauthorized:
		return "401"
	case http.StatusForbidden:
		return "403"
	}
	return "in"
}

// doorOfSocket is door for a socket, whose token may come in the header or in
// the first frame: both have to open it.
func (r *rig) doorOfSocket(path, token string) string {
	r.Helper()
	bare := strings.TrimPrefix(token, "Visitor ")
	header := http.Header{}
	switch {
	case bare != token:
		header.Set("Authorization", token)
	case token != "":
		header.Set("Authorization", "Bearer "+token)
	}
	try := func(header http.Header, first string) string {
		conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(r.base, "http")+path, header)
		if err != nil {
			if resp == nil {
				r.Fatalf("dial %s: %v", path, err)
			}
			return strconv.Itoa(resp.StatusCode)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if err := conn.WriteJSON(map[string]any{"type": "hello", "after": 0, "token": first}); err != nil {
			r.Fatal(err)
		}
		var f protocol.Frame
		switch err := conn.ReadJSON(&f); {
		case websocket.IsCloseError(err, protocol.CloseSignedOut):
			return "401"
		case err != nil || f.Type != protocol.FrameWelcome:
			return fmt.Sprintf("%s %v", f.Type, err)
		}
		return "in"
	}
	inHeader, inFrame := try(header, ""), try(nil, bare)
	if inHeader != inFrame {
		return inHeader + " by the header, " + inFrame + " by the frame"
	}
	return inHeader
}

func TestNobodyClimbsOverTheirRole(t *testing.T) {
	r := newRig(t, onSQLite(t))
	ada := r.member("Ada", chat.RoleAdmin)
	add := protocol.MemberAdd{Name: "Eve", Email: "eve@northwind.example", Role: chat.RoleOwner, Password: password}
	if a := r.do(http.MethodPost, "/v1/members", ada.Token, add); a.status != http.StatusForbidden {
		t.Errorf("an admin makes an owner: %d", a.status)
	}
	owner := chat.RoleOwner
	if a := r.do(http.MethodPatch, "/v1/members/"+ada.Member.ID.String(), ada.Token, protocol.MemberUpdate{Role: &owner}); a.status != http.StatusForbidden {
		t.Errorf("an admin becomes an owner: %d", a.status)
	}
	yes := true
	if a := r.do(http.MethodPatch, "/v1/members/"+r.owner.Member.ID.String(), ada.Token, protocol.MemberUpdate{Disabled: &yes}); a.status != http.StatusForbidden {
		t.Errorf("an admin disables the owner: %d", a.status)
	}
	if a := r.do(http.MethodPatch, "/v1/members/"+r.owner.Member.ID.String(), r.owner.Token, protocol.MemberUpdate{Disabled: &yes}); a.status != http.StatusConflict {
		t.Errorf("the last owner disables themself: %d", a.status)
	}
	add.Role = chat.RoleAgent
	if a := r.do(http.MethodPost, "/v1/members", ada.Token, add); a.status != http.StatusCreated || strings.Contains(string(a.body), "argon2") {
		t.Errorf("an admin adds an agent: %d %s", a.status, a.body)
	}
	if p := r.do(http.MethodPost, "/v1/members", ada.Token, add).problem(t); p.Code != chat.CodeConflict || p.Field != "email" {
		t.Errorf("the same e-mail again: %+v", p)
	}
	for field, bad := range map[string]protocol.MemberAdd{
		"email":    {Name: "X", Email: "nonsense", Role: chat.RoleAgent, Password: password},
		"role":     {Name: "X", Email: "x@y.example", Role: "god", Password: password},
		"password": {Name: "X", Email: "x@y.example", Role: chat.RoleAgent, Password: "short"},
		"brands":   {Name: "X", Email: "x@y.example", Role: chat.RoleAgent, Password: password, Brands: []chat.BrandID{chat.NewID[chat.Brand]()}},
	} {
		if p := r.do(http.MethodPost, "/v1/members", r.owner.Token, bad).problem(t); p.Status != http.StatusBadRequest || p.Field != field {
			t.Errorf("bad %s: %+v", field, p)
		}
	}
}

// TestAnAdminOfOneBrandStaysThere: what they may give and whom they may change
// ends with what they see; an owner has the whole workspace.
func TestAnAdminOfOneBrandStaysThere(t *testing.T) {
	r := newRig(t, onSQLite(t))
	first, second := r.created.Brand, r.addBrand("Second").Brand
	ada := r.member("Ada", chat.RoleAdmin, first)
	list := func(ids ...chat.BrandID) *[]chat.BrandID {
		ids = append([]chat.BrandID{}, ids...) // none is [], not null
		return &ids
	}
	ofBoth, everywhere, colleague := r.member("Both", chat.RoleAgent, first, second), r.member("Eve", chat.RoleAgent), r.member("Col", chat.RoleAgent, first)
	elsewhere := r.member("Els", chat.RoleAgent, second)
	name, yes, pw := "Another Name", true, "another correct horse"
	for _, c := range []struct {
		name string
		of   chat.MemberID
		u    protocol.MemberUpdate
		want int
	}{
		{"every brand for herself", ada.Member.ID, protocol.MemberUpdate{Brands: list()}, 403},
		{"another brand for herself", ada.Member.ID, protocol.MemberUpdate{Brands: list(second)}, 403},
		{"one more brand for herself", ada.Member.ID, protocol.MemberUpdate{Brands: list(first, second)}, 403},
		{"the same for herself", ada.Member.ID, protocol.MemberUpdate{Brands: list(first)}, 200},
		{"a name for herself", ada.Member.ID, protocol.MemberUpdate{Name: &name}, 200},
		{"every brand for a colleague", colleague.Member.ID, protocol.MemberUpdate{Brands: list()}, 403},
		{"another brand for a colleague", colleague.Member.ID, protocol.MemberUpdate{Brands: list(second)}, 403},
		{"a name for a colleague", colleague.Member.ID, protocol.MemberUpdate{Name: &name}, 200},
		{"a password of who sees every brand", everywhere.Member.ID, protocol.MemberUpdate{Password: &pw}, 403},
		{"a password of who sees another brand, too", ofBoth.Member.ID, protocol.MemberUpdate{Password: &pw}, 403},
		{"the end of who works elsewhere", elsewhere.Member.ID, protocol.MemberUpdate{Disabled: &yes}, 403},
		{"who works elsewhere, brought over", elsewhere.Member.ID, protocol.MemberUpdate{Brands: list(first)}, 403},
	} {
		a := r.do(http.MethodPatch, "/v1/members/"+c.of.String(), ada.Token, c.u)
		if a.status != c.want || a.status == http.StatusForbidden && a.problem(t).Field != "brands" {
			t.Errorf("%s: %d %s, want %d", c.name, a.status, a.body, c.want)
		}
	}
	for _, c := range []struct {
		name   string
		token  string
		brands []chat.BrandID
		want   int
	}{
		{"everywhere", ada.Token, nil, 403}, {"elsewhere", ada.Token, []chat.BrandID{second}, 403},
		{"here and elsewhere", ada.Token, []chat.BrandID{first, second}, 403}, {"here", ada.Token, []chat.BrandID{first}, 201},
		{"everywhere by the owner", r.owner.Token, nil, 201},
	} {
		add := protocol.MemberAdd{Name: "New", Email: strings.ReplaceAll(c.name, " ", ".") + "@northwind.example", Role: chat.RoleAdmin, Brands: c.brands, Password: password}
		if a := r.do(http.MethodPost, "/v1/members", c.token, add); a.status != c.want {
			t.Errorf("added %s: %d %s, want %d", c.name, a.status, a.body, c.want)
		}
	}
	// An owner is not limited by what they choose to see.
	r.patch(r.owner.Member.ID, protocol.MemberUpdate{Brands: list(first)})
	r.patch(elsewhere.Member.ID, protocol.MemberUpdate{Brands: list()})
}

// TestAMemberChangesOnlyWhenSomethingDoes: in the log, and in each brand once.
func TestAMemberChangesOnlyWhenSomethingDoes(t *testing.T) {
	r := newRig(t, onSQLite(t))
	ana := r.member("Ana", chat.RoleAgent, r.created.Brand).Member
	role, no, brands := chat.RoleAgent, false, slices.Repeat([]chat.BrandID{r.created.Brand}, 500)
	head := r.head()
	for _, u := range []protocol.MemberUpdate{{}, {Name: &ana.Name, Role: &role, Disabled: &no}, {Brands: &brands}} {
		if m := r.patch(ana.ID, u); m.Ver != ana.Ver || len(m.Brands) != 1 {
			t.Errorf("change %d, of %d; %d brands", m.Ver, ana.Ver, len(m.Brands))
		}
	}
	if now := r.head(); now != head {
		t.Errorf("nothing made %d changes", now-head)
	}
	add := protocol.MemberAdd{Name: "Ben", Email: "ben@northwind.example", Role: chat.RoleAgent, Brands: brands, Password: password}
	var ben chat.Member
	r.do(http.MethodPost, "/v1/members", r.owner.Token, add).into(t, &ben)
	if len(ben.Brands) != 1 {
		t.Errorf("%d brands", len(ben.Brands))
	}
	many := slices.Repeat(brands, 3)
	if p := r.do(http.MethodPatch, "/v1/members/"+ana.ID.String(), r.owner.Token, protocol.MemberUpdate{Brands: &many}).problem(t); p.Code != chat.CodeInvalid || p.Field != "brands" {
		t.Errorf("1,500 brands: %+v", p)
	}
}
