package chat

import "testing"

// TestDigestOfTheDocument: the hash is what docs/protocol.md says to the byte.
func TestDigestOfTheDocument(t *testing.T) {
	id, err := ParseID[Conversation]("01900000-0000-7000-8000-000000000007")
	if err != nil {
		t.Fatal(err)
	}
	other := ConversationID{0: 1, 15: 0xc7} // of the same bucket
	var d Digest
	d.Add(id, DigestHash(id, 1042))
	d.Add(other, DigestHash(other, 3))
	d.Remove(other, DigestHash(other, 3))
	if sum := d[7]; sum.Count != 1 || sum.Hash() != "d90ab74c40072a51" {
		t.Errorf("%d with hash %s", sum.Count, sum.Hash())
	}
	if x, err := ParseDigestHash(d[7].Hash()); err != nil || x != d[7].Xor {
		t.Errorf("read back %x: %v", x, err)
	}
	for _, bad := range []string{"", "7", "00000000000000g0", "-000000000000001", "00000000000000000"} {
		if _, err := ParseDigestHash(bad); err == nil {
			t.Errorf("%q passes for a hash", bad)
		}
	}
	if DigestHash(id, 1042) == DigestHash(id, 1043) {
		t.Error("two versions have one hash")
	}
}
