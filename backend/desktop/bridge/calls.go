package bridge

import (
	"encoding/json"
	"reflect"

	"parley/backend/chat"
)

// calls are the methods that may be called, by name: the exported methods of
// the target, which are the same that the native window binds.
type calls map[string]reflect.Value

func callsOf(target any) calls {
	v := reflect.ValueOf(target)
	out := calls{}
	for i := range v.NumMethod() {
		out[v.Type().Method(i).Name] = v.Method(i)
	}
	return out
}

var errorType = reflect.TypeFor[error]()

// call decodes the arguments, calls, and gives the result (nil for none).
func (c calls) call(method string, args []json.RawMessage) (any, error) {
	m, ok := c[method]
	if !ok {
		return nil, chat.Errorf(chat.CodeNotFound, "There is no method of this name.")
	}
	t := m.Type()
	if len(args) != t.NumIn() {
		return nil, chat.Invalid("args", "%s takes %d arguments, not %d.", method, t.NumIn(), len(args))
	}
	in := make([]reflect.Value, len(args))
	for i, arg := range args {
		v := reflect.New(t.In(i))
		if err := json.Unmarshal(arg, v.Interface()); err != nil {
			return nil, chat.Invalid("args", "Argument %d of %s is of the wrong shape.", i+1, method)
		}
		in[i] = v.Elem()
	}
	var result any
	for _, out := range m.Call(in) {
		if !out.Type().Implements(errorType) {
			result = out.Interface()
			continue
		}
		if err, ok := out.Interface().(error); ok && err != nil {
			return nil, err
		}
	}
	return result, nil
}
