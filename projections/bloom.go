package projections

import (
	"hash/maphash"
	"math/bits"
)

const (
	// bloomBits for each key and bloomHashes keep false answers below 1%.
	bloomBits, bloomHashes = 16, 4
	// maxBloom bounds a filter; beyond it more of its answers are false.
	maxBloom = 64 << 20 * 8
)

// bloom remembers keys, and may take another for one of them (B. Bloom,
// Space/time trade-offs in hash coding with allowable errors, 1970).
type bloom struct {
	seed maphash.Seed
	bits []uint64
	mask uint64
}

// newBloom makes a filter for about as many keys.
func newBloom(keys uint64) *bloom {
	size := uint64(1) << bits.Len64(min(max(keys, 64)*bloomBits, maxBloom)-1)
	return &bloom{seed: maphash.MakeSeed(), bits: make([]uint64, size/64), mask: size - 1}
}

// places gives two numbers of a key, of which the others are sums (Kirsch and
// Mitzenmacher, Less hashing, same performance, 2008).
func (b *bloom) places(t table, key []byte) (at, step uint64) {
	h := maphash.Bytes(b.seed, key) ^ uint64(t)*0x9e3779b97f4a7c15
	return h, bits.RotateLeft64(h, 32)*0x9e3779b97f4a7c15 | 1
}

func (b *bloom) add(t table, key []byte) {
	at, step := b.places(t, key)
	for range bloomHashes {
		b.bits[at&b.mask/64] |= 1 << (at % 64)
		at += step
	}
}

// has says false only of keys that were not added.
func (b *bloom) has(t table, key []byte) bool {
	at, step := b.places(t, key)
	for range bloomHashes {
		if b.bits[at&b.mask/64]&(1<<(at%64)) == 0 {
			return false
		}
		at += step
	}
	return true
}
