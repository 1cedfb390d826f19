package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// BenchmarkVisitorIngest writes customers' messages from 32 clients at once,
// over HTTP, each acknowledged after a durable commit. Beside it stands the
// raw limit: how often this disk can make one small write durable by itself.
func BenchmarkVisitorIngest(b *testing.B) {
	r := newRig(b, onSQLite(b))
	const clients = 32
	visitors := make([]*visitor, clients)
	for i := range visitors {
		visitors[i] = r.visit(r.created.Channel.Key)
		visitors[i].saying("first")
	}
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	work := make(chan struct{}, b.N)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	took := make([][]time.Duration, clients)
	var wg sync.WaitGroup
	b.ResetTimer()
	for i, v := range visitors {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range work {
				start := time.Now()
				if err := v.post(client); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	every := slices.Concat(took...)
	slices.Sort(every)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(every[len(every)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(syncsPerSecond(b), "raw-fsyncs/s")
}

// post sends one message over a kept connection.
func (v *visitor) post(client *http.Client) error {
	body, err := json.Marshal(protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: "Where is my parcel? It was due on Tuesday."})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, v.r.base+"/v1/visitor/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", v.token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		p := &protocol.Problem{}
		if err := json.NewDecoder(resp.Body).Decode(p); err != nil {
			return err
		}
		return p
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func syncsPerSecond(b *testing.B) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	start, n := time.Now(), 0
	for ; time.Since(start) < 500*time.Millisecond; n++ {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// BenchmarkAcceptedToSocket measures from a member's message being sent to its
// packet arriving at a colleague's socket, over HTTP and WebSocket.
func BenchmarkAcceptedToSocket(b *testing.B) {
	r := newRig(b, onSQLite(b)).unpaced()
	conv, _ := r.conversation()
	l := r.join(r.owner.Token, r.head())
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		done := make(chan int64, 1)
		go func() { done <- r.apply(r.owner.Token, text(conv, "Hi"), nil).Seq }()
		f := l.want(protocol.FrameChanges)
		took = append(took, time.Since(start))
		l.upto(<-done)
		_ = f
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
