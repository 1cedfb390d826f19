// Package auth proves who somebody is: passwords under Argon2id, random
// session tokens of which only the hash is kept, and the brake on guessing.
// It knows no storage; its callers bring the hashes.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"parley/backend/chat"
)

// The cost of one password check, as OWASP recommends for Argon2id: 19 MiB,
// two passes, one lane.
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
	saltLen   = 16
	keyLen    = 32
)

// The bounds of a password. The lower one is NIST's; the upper one keeps a
// request cheap.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// Passwords hashes and checks passwords, a few at a time: each check costs
// 19 MiB, and a burst of sign-ins must not take the memory of the machine.
type Passwords struct {
	slots chan struct{}
	// stranger is what the password of an unknown e-mail is compared with, so
	// that an answer takes as long for a stranger as for a member.
	stranger string
}

// NewPasswords prepares the checks.
func NewPasswords() *Passwords {
	salt := make([]byte, saltLen)
	return &Passwords{
		slots:    make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		stranger: encode(salt, make([]byte, keyLen)), // no password hashes to zeroes
	}
}

// Check refuses passwords that are too short or cannot be typed again.
func (p *Passwords) Check(password string) error {
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return chat.Invalid("password", "A password has at least %d characters.", MinPassword)
	case len(password) > MaxPassword:
		return chat.Invalid("password", "A password has at most %d bytes.", MaxPassword)
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return chat.Invalid("password", "The password contains characters that cannot be typed.")
	}
	return nil
}

// Hash gives the PHC form of a password under a fresh salt.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if err := p.Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltLen)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make salt: %w", err)
	}
	key, err := p.derive(ctx, password, salt, passes, memoryKiB, lanes, keyLen)
	if err != nil {
		return "", err
	}
	return encode(salt, key), nil
}

// Verify reports whether the password is the one of the hash. An empty hash,
// the one of an unknown e-mail, costs the same time and is never right.
func (p *Passwords) Verify(ctx context.Context, hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = p.stranger
	}
	if len(password) > MaxPassword { // cannot be right; do not hash a novel
		password = password[:MaxPassword]
		known = false
	}
	h, err := parse(hash)
	if err != nil {
		return false, err
	}
	key, err := p.derive(ctx, password, h.salt, h.passes, h.memory, h.lanes, uint32(len(h.key)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, h.key) == 1 && known, nil
}

func (p *Passwords) derive(ctx context.Context, password string, salt []byte, passes, memory uint32, lanes uint8, n uint32) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(password), salt, passes, memory, lanes, n), nil
}

// phc is a parsed "$argon2id$v=19$m=…,t=…,p=…$salt$key".
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

var errNotPHC = errors.New("a password hash in PHC form of Argon2id is wanted")

func encode(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memoryKiB, passes, lanes,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

func parse(s string) (phc, error) {
	var h phc
	fields := strings.Split(s, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return h, errNotPHC
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return h, errNotPHC
	}
	if h.memory == 0 || h.memory > 1<<20 || h.passes == 0 || h.passes > 64 || h.lanes == 0 {
		return h, errNotPHC // beyond a gibibyte nobody meant it
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil {
		return h, errNotPHC
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil || len(h.key) < 16 || len(h.key) > 128 {
		return h, errNotPHC
	}
	return h, nil
}

// Token is a fresh secret of 256 bits in a form that survives headers, URLs
// and copying.
func Token() string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil { // the system has no randomness: nothing sensible can go on
		panic(fmt.Sprintf("auth: no randomness for a token: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// TokenHash is what is stored of a token. A token is random and long, so one
// round of SHA-256 is enough.
func TokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// Key is a short public name, such as the key of a widget: n random bytes in hex.
func Key(n int) string {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(fmt.Sprintf("auth: no randomness for a key: %v", err))
	}
	return hex.EncodeToString(b)
}
