package projections

import "math/bits"

const (
	// bloomBits for each key and bloomHashes keep false answers below 1%.
	bloomBits, bloomHashes = 16, 4
	// maxBloom bounds a filter; beyond it more of its answers are false.
	maxBloom = 64 << 20 * 8
)

// bloom remembers hashes of keys, and may take another for one of them (B.
// Bloom, Space/time trade-offs in hash coding with allowable errors, 1970).
type bloom struct {
	bits []uint64
	mask uint64
}

// newBloom makes a filter for about as many keys.
func newBloom(keys uint64) *bloom {
	size := uint64(1) << bits.Len64(min(max(keys, 64)*bloomBits, maxBloom)-1)
	return &bloom{bits: make([]uint64, size/64), mask: size - 1}
}

// step is added to a hash to give the next place (Kirsch and Mitzenmacher, Less
// hashing, same performance, 2008).
func step(hash uint64) uint64 { return bits.RotateLeft64(hash, 32)*0x9e3779b97f4a7c15 | 1 }

func (b *bloom) add(hash uint64) {
	for at, n := hash, 0; n < bloomHashes; n++ {
		b.bits[at&b.mask/64] |= 1 << (at % 64)
		at += step(hash)
	}
}

// has says false only of hashes that were not added.
func (b *bloom) has(hash uint64) bool {
	for at, n := hash, 0; n < bloomHashes; n++ {
		if b.bits[at&b.mask/64]&(1<<(at%64)) == 0 {
			return false
		}
		at += step(hash)
	}
	return true
}
