package objecttest

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/patchfit/patchfit/build/object"
)

// ULP returns libpulp metadata as libpulp's packer writes it for the machine
// of f: names end in a zero byte, but that of the target in one that reverts.
func (f *File) ULP(u object.ULP) []byte {
	bytes := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			panic(err)
		}
		return b
	}
	number := func(n int) []byte { return f.order().AppendUint32(nil, uint32(n)) }
	var b []byte
	text := func(s string) { b = append(append(b, number(len(s)+1)...), s+"\x00"...) }
	b = append([]byte{1}, bytes(u.PatchID)...)
	b = append(append(b, number(len(u.BuildID)/2)...), bytes(u.BuildID)...)
	if u.Revert {
		b[0] = 2
		return append(append(b, number(len(u.Target))...), u.Target...)
	}
	text(u.Target)
	b = append(b, number(len(u.Units))...)
	for _, unit := range u.Units {
		text(unit.Old)
		text(unit.New)
		b = append(b, f.Word(unit.Address)...)
	}
	b = append(b, number(len(u.Depends))...)
	for _, d := range u.Depends {
		b = append(b, bytes(d)...)
	}
	b = append(b, number(len(u.Variables))...)
	for _, v := range u.Variables {
		text(v.Target)
		text(v.Reference)
		b = append(append(b, f.Word(v.TargetOffset)...), f.Word(v.PatchOffset)...)
		tls := byte(0)
		if v.TLS {
			tls = 1
		}
		b = append(b, tls)
	}
	return b
}

// A Kpatch is a libcare patch in the making, little endian.
type Kpatch struct {
	Module, Target string
	Built          uint64
	Content        []byte
}

// Bytes returns the patch.
func (k Kpatch) Bytes() []byte {
	b := make([]byte, object.KpatchHeader)
	copy(b, object.KpatchMagic)
	copy(b[0x10:0x4f], k.Module)
	copy(b[0x50:0x14f], k.Target)
	binary.LittleEndian.PutUint64(b[0x150:], k.Built)
	binary.LittleEndian.PutUint32(b[0x160:], object.KpatchHeader)
	binary.LittleEndian.PutUint32(b[0x164:], object.KpatchHeader)
	binary.LittleEndian.PutUint32(b[0x168:], uint32(len(b)+len(k.Content)))
	return append(b, k.Content...)
}
