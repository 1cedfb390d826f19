package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// inspector speaks WebKit's remote inspector protocol with one page. Every message to the page is wrapped in one to
// its target, and so is every answer.
type inspector struct {
	conn   *websocket.Conn
	closed chan struct{} // closed when the connection has ended

	write sync.Mutex
	next  atomic.Int64

	mu      sync.Mutex
	target  string
	known   chan struct{} // closed when the first target is known
	waiting map[int64]chan reply
	console []string // errors that the page reported and nobody has taken yet
}

// reply is the page's answer to one message.
type reply struct {
	ID     int64           `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// inspect connects to the page of the program that was started with WEBKIT_INSPECTOR_HTTP_SERVER=addr. It asks until
// the program offers one.
func inspect(ctx context.Context, addr string) (*inspector, error) {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := dialPage(ctx, addr)
		if err == nil {
			return follow(ctx, conn)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to the window's inspector: %w", err)
		case <-again.C:
		}
	}
}

// dialPage opens the socket of the first page that is offered.
func dialPage(ctx context.Context, addr string) (*websocket.Conn, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var page strings.Builder
	if _, err := copyLimited(&page, response.Body); err != nil {
		return nil, err
	}
	_, rest, found := strings.Cut(page.String(), "/socket/")
	if !found {
		return nil, errors.New("no page is offered yet")
	}
	path, _, _ := strings.Cut(rest, "/WebPage")
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+"/socket/"+path+"/WebPage", nil)
	return conn, err
}

// follow starts reading and waits for the page's target.
func follow(ctx context.Context, conn *websocket.Conn) (*inspector, error) {
	in := &inspector{
		conn: conn, closed: make(chan struct{}), known: make(chan struct{}), waiting: map[int64]chan reply{},
	}
	go in.read()
	select {
	case <-in.known:
	case <-in.closed:
		return nil, errors.New("connect to the window's inspector: it closed")
	case <-ctx.Done():
		in.close()
		return nil, fmt.Errorf("connect to the window's inspector: no page: %w", ctx.Err())
	}
	for _, domain := range []string{"Runtime.enable", "Console.enable", "Page.enable"} {
		if err := in.call(ctx, domain, nil, nil); err != nil {
			in.close()
			return nil, err
		}
	}
	return in, nil
}

func (in *inspector) close() {
	in.conn.Close()
	<-in.closed
}

// read takes what the page sends until the connection ends.
func (in *inspector) read() {
	defer close(in.closed)
	for {
		_, data, err := in.conn.ReadMessage()
		if err != nil {
			return
		}
		var outer struct {
			Method string `json:"method"`
			Params struct {
				TargetInfo struct {
					ID   string `json:"targetId"`
					Type string `json:"type"`
				} `json:"targetInfo"`
				NewTarget string `json:"newTargetId"`
				Message   string `json:"message"`
			} `json:"params"`
		}
		if json.Unmarshal(data, &outer) != nil {
			continue
		}
		switch outer.Method {
		case "Target.targetCreated":
			if outer.Params.TargetInfo.Type == "page" {
				in.setTarget(outer.Params.TargetInfo.ID)
			}
		case "Target.didCommitProvisionalTarget":
			in.setTarget(outer.Params.NewTarget)
		case "Target.dispatchMessageFromTarget":
			in.receive([]byte(outer.Params.Message))
		}
	}
}

func (in *inspector) setTarget(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.target == "" {
		close(in.known)
	}
	in.target = id
}

// receive takes an answer, or an event of the page.
func (in *inspector) receive(message []byte) {
	var answer reply
	if json.Unmarshal(message, &answer) != nil {
		return
	}
	if answer.ID != 0 {
		in.mu.Lock()
		waiting := in.waiting[answer.ID]
		delete(in.waiting, answer.ID)
		in.mu.Unlock()
		if waiting != nil {
			waiting <- answer
		}
		return
	}
	var event struct {
		Method string `json:"method"`
		Params struct {
			Message struct {
				Level string `json:"level"`
				Text  string `json:"text"`
				URL   string `json:"url"`
				Line  int    `json:"line"`
			} `json:"message"`
		} `json:"params"`
	}
	if json.Unmarshal(message, &event) != nil || event.Method != "Console.messageAdded" {
		return
	}
	if said := event.Params.Message; said.Level == "error" {
		in.mu.Lock()
		in.console = append(in.console, fmt.Sprintf("%s (%s:%d)", said.Text, said.URL, said.Line))
		in.mu.Unlock()
	}
}

// takeErrors returns the errors on the console since the last time.
func (in *inspector) takeErrors() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	errors := in.console
	in.console = nil
	return errors
}

// call sends one message to the page and decodes the answer into result, which may be nil.
func (in *inspector) call(ctx context.Context, method string, params, result any) error {
	if params == nil {
		params = struct{}{}
	}
	id := in.next.Add(1)
	inner, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return err
	}
	answer := make(chan reply, 1)
	in.mu.Lock()
	in.waiting[id] = answer
	target := in.target
	in.mu.Unlock()
	if err := in.send(map[string]any{
		"id": in.next.Add(1), "method": "Target.sendMessageToTarget",
		"params": map[string]any{"targetId": target, "message": string(inner)},
	}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case got := <-answer:
		if got.Error != nil {
			return fmt.Errorf("%s: %s", method, got.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(got.Result, result)
	case <-in.closed:
		return fmt.Errorf("%s: the window is gone", method)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (in *inspector) send(message any) error {
	in.write.Lock()
	defer in.write.Unlock()
	return in.conn.WriteJSON(message)
}

// evaluate runs an expression in the page, waits for it if it is a promise, and decodes its value into result.
func (in *inspector) evaluate(ctx context.Context, expression string, result any) error {
	type evaluated struct {
		Result struct {
			ObjectID    string `json:"objectId"`
			Value       string `json:"value"`
			Description string `json:"description"`
		} `json:"result"`
		Thrown bool `json:"wasThrown"`
	}
	var promise evaluated
	if err := in.call(ctx, "Runtime.evaluate", map[string]any{
		"expression": "(async () => JSON.stringify(await (" + expression + ")) ?? 'null')()",
	}, &promise); err != nil {
		return err
	}
	if promise.Thrown || promise.Result.ObjectID == "" {
		return fmt.Errorf("evaluate: %s", promise.Result.Description)
	}
	var value evaluated
	if err := in.call(ctx, "Runtime.awaitPromise", map[string]any{
		"promiseObjectId": promise.Result.ObjectID, "returnByValue": true,
	}, &value); err != nil {
		return err
	}
	if value.Thrown {
		return fmt.Errorf("evaluate: %s%s", value.Result.Description, value.Result.Value)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal([]byte(value.Result.Value), result)
}
