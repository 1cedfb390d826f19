// Package demo makes a believable workspace: a coffee roaster, a creator's
// studio and an agency that answer their customers together. The same data
// fills the demonstration, the tests and the benchmarks of both programs.
//
// It makes chat values only and knows no storage. A set is a pure function of
// its Options: the same seed gives the same bytes, whoever iterates, in
// whatever order and as often as they like. Threads are made while they are
// iterated, so that two million messages never sit in memory.
//
// Derived values of a conversation come from chat.Conversation's own methods,
// so they are right by construction.
package demo

import (
	"iter"
	"math"
	"math/rand/v2"

	"parley/backend/chat"
)

// Password is what every member of the demonstration signs in with. Members
// are made without a hash: whoever stores them hashes it.
const Password = "northwind-demo-2026"

// Options choose a data set.
type Options struct {
	// Conversations to make; at least 1.
	Conversations int
	// Messages in all threads together, comments and events included. Every
	// conversation has at least one, so fewer than Conversations means as many.
	Messages int
	// Seed chooses the content.
	Seed int64
	// Now is the moment the set seems to have been recorded; nothing in it is later.
	Now chat.Time
}

// Set is one data set. Its fields are small and made at once; conversations
// and files are iterated.
type Set struct {
	Workspace chat.Workspace
	Brands    []chat.Brand
	// Channels have no Secret: whoever stores them makes one, because a secret
	// that follows from a public seed would prove nothing.
	Channels []chat.Channel
	Members  []chat.Member

	opts        Options
	languages   []*language
	media       *media
	plans       []channelPlan
	assistant   chat.Actor
	weight      float64 // sum of all conversations' weights
	brandAgents [][]int // per brand: indexes of the members who answer it
}

// Thread is one conversation with its contact and its messages in order of
// number.
type Thread struct {
	Contact chat.Contact
	// Again says that the contact, exactly this value, came with the thread
	// before: a person who writes on two channels.
	Again        bool
	Conversation chat.Conversation
	Messages     []chat.Message
}

// File is the content behind a SHA-256.
type File struct {
	chat.File
	Data []byte
}

// The streams of randomness: each thing draws from a source of its own, so
// that no thing depends on when another was made.
const (
	streamCompany = iota + 1
	streamMedia
	streamWeight
	streamContact
	streamThread
)

// defaultNow dates a set whose Options have no Now.
const defaultNow = chat.Time(1_767_225_600_000_000) // 2026-01-01

// Generate describes the set that follows from the options.
func Generate(opts Options) *Set {
	opts.Conversations = max(opts.Conversations, 1)
	opts.Messages = max(opts.Messages, opts.Conversations)
	if opts.Now.IsZero() {
		opts.Now = defaultNow
	}
	s := &Set{opts: opts, languages: loadLanguages(), plans: channelPlans()}
	s.media = newMedia(s.source(streamMedia, 0))
	s.company()
	for i := range opts.Conversations {
		s.weight += s.weightOf(i)
	}
	return s
}

// Options gives the options the set was made with, completed.
func (s *Set) Options() Options { return s.opts }

// Files gives every file that messages point to.
func (s *Set) Files() iter.Seq[File] {
	return func(yield func(File) bool) {
		for _, f := range s.media.all {
			if !yield(f) {
				return
			}
		}
	}
}

// Conversations gives the threads, each made anew; the receiver may keep them.
func (s *Set) Conversations() iter.Seq[Thread] {
	return func(yield func(Thread) bool) {
		extra := s.opts.Messages - s.opts.Conversations
		sum, given := 0.0, 0
		for i := range s.opts.Conversations {
			// Cumulative rounding: the parts always add up to the whole.
			sum += s.weightOf(i)
			upto := int(sum / s.weight * float64(extra))
			if i == s.opts.Conversations-1 {
				upto = extra
			}
			n := 1 + upto - given
			given = upto
			if !yield(s.thread(i, n)) {
				return
			}
		}
	}
}

// weightOf gives a conversation's share of the messages: log-normal, and now
// and then somebody who writes all the time.
func (s *Set) weightOf(i int) float64 {
	const sigma = 1.35
	if i%1000 == 7 {
		return 60 * math.Exp(sigma*sigma/2)
	}
	return math.Exp(sigma * s.source(streamWeight, i).NormFloat64())
}

// source is the randomness of the n-th thing of a stream.
func (s *Set) source(stream, n int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(s.opts.Seed)^uint64(stream)<<56, uint64(n)*0x9e3779b97f4a7c15+1))
}

// newID makes a UUIDv7 of a moment out of a source.
func newID[E any](r *rand.Rand, at chat.Time) chat.ID[E] {
	var id chat.ID[E]
	ms := uint64(at) / 1000
	a, b := r.Uint64(), r.Uint64()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[7] = 0x70|byte(a>>60), byte(a>>48)
	for i := range 8 {
		id[8+i] = byte(b >> (8 * i))
	}
	id[8] = 0x80 | id[8]&0x3f
	return id
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// chance is true in p of all cases.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// logNormal draws with a median and a spread.
func logNormal(r *rand.Rand, median, sigma float64) float64 {
	return median * math.Exp(sigma*r.NormFloat64())
}
