package protocol

import (
	"fmt"

	"parley/backend/chat"
)

// Digest is the body of POST /v1/digest: what a client holds at a position, of
// the conversations that are open or were active at or after Since, leaving out
// those it holds in a version above Position.
type Digest struct {
	Epoch    string         `json:"epoch"`
	Position int64          `json:"position"`
	Since    chat.Time      `json:"since"`
	Buckets  []DigestBucket `json:"buckets"` // those that hold anything
}

// DigestBucket is the sum of one bucket, 0 to 63.
type DigestBucket struct {
	Bucket int    `json:"bucket"`
	Count  int64  `json:"count"`
	Hash   string `json:"hash"` // 16 hexadecimal digits
}

// DigestAnswer says what the server holds otherwise. Nothing in Differ proves
// that the client holds everything, as it is. The server cannot know how a
// conversation was that has changed since the client's position: its buckets
// leave out those in Changed, and the client compares once more without them.
type DigestAnswer struct {
	Head    int64                 `json:"head"`
	Access  chat.Access           `json:"access"` // under which the server has looked
	Changed []chat.ConversationID `json:"changed"`
	Differ  []DigestBucket        `json:"differ"` // the server's sums, where they are not the client's
}

// BucketsOf writes the buckets of a digest that hold anything.
func BucketsOf(d chat.Digest) []DigestBucket {
	out := []DigestBucket{}
	for i, sum := range d {
		if sum != (chat.DigestSum{}) {
			out = append(out, DigestBucket{i, sum.Count, sum.Hash()})
		}
	}
	return out
}

// DigestOf reads buckets; one that is not named holds nothing.
func DigestOf(buckets []DigestBucket) (chat.Digest, error) {
	var d chat.Digest
	for i, b := range buckets {
		field := fmt.Sprintf("buckets.%d", i)
		if b.Bucket < 0 || b.Bucket >= chat.DigestBuckets || b.Count < 0 {
			return d, chat.Invalid(field, "A bucket from 0 to %d with a count is wanted.", chat.DigestBuckets-1)
		}
		x, err := chat.ParseDigestHash(b.Hash)
		if err != nil {
			return d, chat.Invalid(field, "A hash of 16 hexadecimal digits is wanted.")
		}
		d[b.Bucket] = chat.DigestSum{Count: b.Count, Xor: x}
	}
	return d, nil
}

// Compare gives the answer's buckets for what the server holds, where that is
// not what the client holds.
func Compare(server, client chat.Digest) []DigestBucket {
	out := []DigestBucket{}
	for i, sum := range server {
		if sum != client[i] {
			out = append(out, DigestBucket{i, sum.Count, sum.Hash()})
		}
	}
	return out
}
