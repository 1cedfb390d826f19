package server_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/api"
)

// notOnTheWire is what no golden file shows, with the reason: types with all
// that is in them, fields, values.
var notOnTheWire = map[string]string{
	"chat.Abilities":              "decides inside the server; no route gives it yet",
	"chat.Action":                 "what a role may do is not told, only refused",
	"chat.Code=window_closed":     "no channel that takes no free text is connected yet",
	"protocol.RawMessages":        "how the client reads a MessagesPage",
	"protocol.Found":              "how the client reads a SearchPage",
	"line chat.EntityKind=access": "in a stream the first line says what the member may see",
}

// TestEveryShapeHasAGolden: every type that is JSON, each of its fields, every
// value of the closed lists, every kind of command and every closing code is in
// a file of testdata/wire.
func TestEveryShapeHasAGolden(t *testing.T) {
	found := shown{}
	routes := bareRig(t, onSQLite(t)).srv.Routes()
	for name, x := range exchanges(t) {
		if err := found.exchange(routes, x); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wanted := append(declared(t, "chat"), declared(t, "protocol")...)
	for _, kind := range api.EntityKinds() {
		wanted = append(wanted, "line chat.EntityKind="+string(kind.Kind))
	}
	wanted = append(wanted, "line chat.Op="+string(chat.OpPut), "line chat.Op="+string(chat.OpDelete))
	used := map[string]bool{}
	for _, what := range wanted {
		reason := excepted(what)
		used[reason] = true
		switch {
		case found[what] && reason != "":
			t.Errorf("%s is in a golden file: take %q out of the list of what is not", what, reason)
		case !found[what] && reason == "":
			t.Errorf("no golden file shows %s", what)
		}
	}
	for what := range notOnTheWire {
		if !used[what] {
			t.Errorf("%s is on the list of what no golden file shows, but does not exist", what)
		}
	}
}

// excepted gives the entry of notOnTheWire that covers something, or "".
func excepted(what string) string {
	for key := range notOnTheWire {
		if rest, ok := strings.CutPrefix(what, key); ok && (rest == "" || rest[0] == '.' || rest[0] == '=') {
			return key
		}
	}
	return ""
}

// declared lists what a package says goes over the wire: structs with JSON
// names ("chat.Part", "chat.Part.text") and constants ("chat.Op=put",
// "command=me.put", "close=4001").
func declared(t *testing.T, pkg string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pkg, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", pkg, err)
	}
	var out []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.GenDecl); ok {
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						out = append(out, declaredFields(pkg, spec)...)
					case *ast.ValueSpec:
						out = append(out, declaredValues(pkg, spec, d.Tok == token.CONST)...)
					}
				}
			}
		}
	}
	return out
}

func declaredFields(pkg string, spec *ast.TypeSpec) []string {
	s, ok := spec.Type.(*ast.StructType)
	if !ok || !spec.Name.IsExported() {
		return nil
	}
	var out []string
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		if name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ","); name != "" && name != "-" {
			out = append(out, pkg+"."+spec.Name.Name+"."+name)
		}
	}
	if len(out) > 0 {
		out = append(out, pkg+"."+spec.Name.Name)
	}
	return out
}

func declaredValues(pkg string, spec *ast.ValueSpec, constant bool) []string {
	if !constant || len(spec.Values) != 1 || !spec.Names[0].IsExported() {
		return nil
	}
	value, ok := spec.Values[0].(*ast.BasicLit)
	if !ok {
		return nil
	}
	name := spec.Names[0].Name
	kind, _ := spec.Type.(*ast.Ident)
	switch text, _ := strconv.Unquote(value.Value); {
	case value.Kind == token.STRING && kind != nil:
		return []string{pkg + "." + kind.Name + "=" + text}
	case value.Kind == token.STRING && pkg == "protocol" && !strings.HasPrefix(name, "Version"):
		return []string{"command=" + text}
	case value.Kind == token.INT && pkg == "protocol" && strings.HasPrefix(name, "Close"):
		return []string{"close=" + value.Value}
	}
	return nil
}

// shown is what golden files show, named as declared names it.
type shown map[string]bool

func (s shown) exchange(routes []api.Route, x exchange) error {
	switch {
	case x.Close != nil:
		s["close="+strconv.Itoa(x.Close.Code)] = true
		return nil
	case x.Frame != nil:
		return s.frame(x)
	}
	route, ok := routeOf(routes, x.Request.Method, x.Request.Path)
	if ok && x.Request.Body != nil {
		if err := s.value(reflect.TypeOf(route.Body), x.Request.Body); err != nil {
			return err
		}
	}
	if strings.HasPrefix(x.Answer.Type, "application/problem+json") && x.Answer.Body != nil {
		return s.value(reflect.TypeFor[protocol.Problem](), x.Answer.Body)
	}
	if !ok || x.Answer.Status != route.Status {
		return nil
	}
	for _, line := range x.Answer.Lines {
		if err := s.value(lineType(line), line); err != nil {
			return err
		}
	}
	if x.Answer.Body == nil {
		return nil
	}
	if err := s.value(reflect.TypeOf(route.Answer), x.Answer.Body); err != nil {
		return err
	}
	return s.results(x)
}

// results walks through the data of results, whose type follows from the
// commands.
func (s shown) results(x exchange) error {
	for kind, data := range dataOf(x) {
		err := s.value(commandType(kind, func(k api.CommandKind) any { return k.Data }), data)
		if later := commandType(kind, func(k api.CommandKind) any { return k.Later }); err != nil && later != nil {
			err = s.value(later, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dataOf gives the data of each result with the kind of its command.
func dataOf(x exchange) map[string]json.RawMessage {
	var in protocol.Commands
	var out protocol.Results
	if json.Unmarshal(x.Request.Body, &in) != nil || json.Unmarshal(x.Answer.Body, &out) != nil || len(in.Commands) != len(out.Results) {
		return nil
	}
	data := map[string]json.RawMessage{}
	for i, r := range out.Results {
		if r.Data != nil {
			data[in.Commands[i].Kind] = r.Data
		}
	}
	return data
}

func (s shown) frame(x exchange) error {
	types := []reflect.Type{reflect.TypeFor[protocol.Frame]()}
	if x.Socket == "/v1/visitor/live" {
		types = []reflect.Type{reflect.TypeFor[protocol.VisitorFrame]()}
		if frameType(x) == protocol.FrameMessage {
			types = append(types, reflect.TypeFor[protocol.VisitorMessageFrame]())
		}
	}
	for _, t := range types {
		if err := s.value(t, x.Frame); err != nil {
			return err
		}
	}
	return nil
}

func frameType(x exchange) protocol.FrameType {
	var f protocol.Frame
	_ = json.Unmarshal(x.Frame, &f) // what is no frame has no type
	return f.Type
}

// lineType tells the three kinds of lines of a stream apart.
func lineType(line json.RawMessage) reflect.Type {
	var is struct {
		Kind chat.EntityKind `json:"kind"`
		End  bool            `json:"end"`
	}
	_ = json.Unmarshal(line, &is) // the caller decodes it again
	switch {
	case is.End:
		return reflect.TypeFor[protocol.BootstrapEnd]()
	case is.Kind != "":
		return reflect.TypeFor[protocol.BootstrapLine]()
	}
	return reflect.TypeFor[protocol.BootstrapHead]()
}

// value notes a value of a type and everything in it.
func (s shown) value(t reflect.Type, raw json.RawMessage) error {
	switch {
	case t == nil || string(raw) == "null" || t == reflect.TypeFor[chat.Time]() || t == reflect.TypeFor[json.RawMessage]() || strings.HasPrefix(t.Name(), "ID["):
		return nil
	case t.Kind() == reflect.Pointer:
		return s.value(t.Elem(), raw)
	case t.Kind() == reflect.String:
		var text string
		err := json.Unmarshal(raw, &text)
		s[t.String()+"="+text] = true
		return err
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t.Elem().Kind() != reflect.Uint8:
		var items []json.RawMessage
		err := json.Unmarshal(raw, &items)
		for _, item := range items {
			if err == nil {
				err = s.value(t.Elem(), item)
			}
		}
		return err
	case t.Kind() == reflect.Struct:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return err
		}
		return s.object(t, raw, fields)
	}
	return nil
}

func (s shown) object(t reflect.Type, raw json.RawMessage, fields map[string]json.RawMessage) error {
	s[t.String()] = true
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value, there := fields[name]
		var err error
		switch {
		case f.Anonymous && name == "":
			err = s.value(f.Type, raw)
		case there:
			s[t.String()+"."+name] = true
			err = s.value(f.Type, value)
		}
		if err != nil {
			return err
		}
	}
	var kind string
	_ = json.Unmarshal(fields["kind"], &kind) // "" where there is none
	switch t {
	case reflect.TypeFor[protocol.BootstrapLine]():
		s["line chat.EntityKind="+kind] = true
		s["line chat.Op="+strings.Trim(string(fields["op"]), `"`)] = true
		fallthrough
	case reflect.TypeFor[chat.Change]():
		for _, k := range api.EntityKinds() {
			if string(k.Kind) == kind && fields["data"] != nil {
				return s.value(reflect.TypeOf(k.Data), fields["data"])
			}
		}
	case reflect.TypeFor[chat.Command]():
		s["command="+kind] = true
		return s.value(commandType(kind, func(k api.CommandKind) any { return k.Args }), fields["args"])
	}
	return nil
}

// commandType is the type of the args or the data of a kind; nil if unknown.
func commandType(kind string, of func(api.CommandKind) any) reflect.Type {
	for _, k := range api.CommandKinds() {
		if k.Kind == kind {
			return reflect.TypeOf(of(k))
		}
	}
	return nil
}

// routeOf finds the route that answers a request.
func routeOf(routes []api.Route, method, path string) (api.Route, bool) {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for _, r := range routes {
		want := strings.Split(r.Path, "/")
		if r.Method == method && slices.EqualFunc(parts, want, func(part, want string) bool { return part == want || strings.HasPrefix(want, "{") && part != "" }) {
			return r, true
		}
	}
	return api.Route{}, false
}

// TestEveryRouteHasAGolden: for each status that the document names.
func TestEveryRouteHasAGolden(t *testing.T) {
	routes := bareRig(t, onSQLite(t)).srv.Routes()
	found := map[string]bool{}
	for _, x := range exchanges(t) {
		if x.Frame != nil {
			found["GET "+x.Socket+" 101"] = true
		} else if x.Request != nil {
			if r, ok := routeOf(routes, x.Request.Method, x.Request.Path); ok {
				found[r.Method+" "+r.Path+" "+strconv.Itoa(x.Answer.Status)] = true
			}
		}
	}
	for _, r := range routes {
		wanted := []int{r.Status}
		for _, o := range r.Others {
			wanted = append(wanted, o.Status)
		}
		if r.Method == http.MethodPut {
			wanted = append(wanted, http.StatusPermanentRedirect)
		}
		for _, status := range wanted {
			if what := r.Method + " " + r.Path + " " + strconv.Itoa(status); !found[what] {
				t.Errorf("no golden file shows %s", what)
			}
		}
	}
}

// framesOf says who sends which frames on which socket.
var framesOf = map[string]string{
	"/v1/live client":         "hello typing viewing presence",
	"/v1/live server":         "welcome changes behind beat typing viewing presence",
	"/v1/visitor/live client": "hello typing read",
	"/v1/visitor/live server": "welcome message typing read state beat",
}

// TestEveryFrameHasAGolden: in both directions, and every type of frame has
// somebody who sends it.
func TestEveryFrameHasAGolden(t *testing.T) {
	found := map[string]bool{}
	for name, x := range exchanges(t) {
		if x.Frame == nil {
			continue
		}
		way, kind := x.Socket+" "+x.From, string(frameType(x))
		found[way+" "+kind] = true
		if !slices.Contains(strings.Fields(framesOf[way]), kind) {
			t.Errorf("%s: %q is not among the frames of %s", name, kind, way)
		}
	}
	sent := map[string]bool{}
	for way, kinds := range framesOf {
		for _, kind := range strings.Fields(kinds) {
			sent["protocol.FrameType="+kind] = true
			if !found[way+" "+kind] {
				t.Errorf("no golden file shows a frame %q of %s", kind, way)
			}
		}
	}
	for _, what := range declared(t, "protocol") {
		if strings.HasPrefix(what, "protocol.FrameType=") && !sent[what] {
			t.Errorf("%s is sent by nobody", what)
		}
	}
}
