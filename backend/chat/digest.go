package chat

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
)

// DigestBuckets is into how many parts a digest sorts conversations.
const DigestBuckets = 64

// DigestSum is what one bucket of a digest holds: how many conversations, and
// the exclusive or of their hashes. Taking a conversation out again is the same
// as putting it in.
type DigestSum struct {
	Count int64
	Xor   uint64
}

// Digest is the sum of a set of conversations, each in one version. Two sides
// with the same digest hold the same set.
type Digest [DigestBuckets]DigestSum

// DigestBucket gives the bucket of a conversation: the low six bits of its id's
// last byte. The id's first bytes are a time and would fill one bucket a day.
func DigestBucket(id ConversationID) int { return int(id[len(id)-1]) % DigestBuckets }

// DigestHash is the hash of one conversation in one version: the first eight
// bytes of SHA-256 over the id's 16 bytes and the version in eight, all with
// the most significant byte first.
func DigestHash(id ConversationID, ver int64) uint64 {
	var in [24]byte
	copy(in[:], id[:])
	binary.BigEndian.PutUint64(in[16:], uint64(ver))
	sum := sha256.Sum256(in[:])
	return binary.BigEndian.Uint64(sum[:])
}

// Add puts a conversation with this hash in.
func (d *Digest) Add(id ConversationID, hash uint64) { d.change(id, hash, 1) }

// Remove takes a conversation with this hash out.
func (d *Digest) Remove(id ConversationID, hash uint64) { d.change(id, hash, -1) }

func (d *Digest) change(id ConversationID, hash uint64, n int64) {
	sum := &d[DigestBucket(id)]
	sum.Count += n
	sum.Xor ^= hash
}

// Hash is the sum's Xor as it is written: 16 hexadecimal digits.
func (s DigestSum) Hash() string { return fmt.Sprintf("%016x", s.Xor) }

// ParseDigestHash reads what Hash has written.
func ParseDigestHash(text string) (uint64, error) {
	if len(text) != 16 {
		return 0, Invalid("hash", "A hash of 16 hexadecimal digits is wanted.")
	}
	x, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return 0, Invalid("hash", "A hash of 16 hexadecimal digits is wanted.")
	}
	return x, nil
}
