package object_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/build/object/objecttest"
)

// vectors are the digests of sample files as a second implementation, written
// from docs/spec/digests.md alone, computed them: withoutDebug and code.
var vectors = map[string][2]string{
	"ELFCLASS32/big/ET_DYN":    {"97e1f798cf70ae6ad4f63a5ee9054739a17e67f64e82b59c27ae382ca47faa70", "ef4f527d9c759388749479dc690a21a85a4fd58e04e195e4ac1e109d943f4106"},
	"ELFCLASS32/big/ET_REL":    {"93b71446ac8f39eaa586b7328d59ce138fe3ee23031baa8c4c7361d6a7ea1810", "69b2a0561837fbbfebedea376c7dd0dc8a571933720b13fd0548258d663711b4"},
	"ELFCLASS32/little/ET_DYN": {"3d4befd013827e6cdc57fdf177320161bc371c8064c6e76b04a58b1a330bebe9", "a87dad07340802070558c61707dab6a7225b5bd08d7bc31d5cfada249587ce61"},
	"ELFCLASS32/little/ET_REL": {"d9c3c1c0002571070b20540f48a4b8a6042e44f520b599f56e05ed8b9a9bf88a", "1f88bc967d128e17bd49191c0552eb922aee5b8cbfc0f21bfbf3a3b0c309e51c"},
	"ELFCLASS64/big/ET_DYN":    {"95f11e82c4e563e4241b0ae4c9d6af459924fa9f3145b4011345257c12b48e8f", "d66318ad0861a311c61b16d23637c4db40a8b706eb2cf9457e28932d52d9af3c"},
	"ELFCLASS64/big/ET_REL":    {"7d5d685d30f3ce14feb1456fb9115b018b5721657094ae6e0c4dc2cb74b79440", "4d601cbf49c687126b8b46173d55c01d47864cd329d85a9880353e7f314c277a"},
	"ELFCLASS64/little/ET_DYN": {"645ce6bc2c7c6a3cae09e9633af00a722ff0bf5a4ff36eabd4cd4139b265d29e", "a2fbf926564f72596f9ad62449585aaf9387dabfc958cc7867d188ea14b9a8bf"},
	"ELFCLASS64/little/ET_REL": {"164185dbb124e6a5b6f10b7e7f833ad00a7850c08bb0471bdc7a09cbd352135f", "67e77595e8b2b09272536c72c47a08ff1911918767d706bc2da576beba325e07"},
}

// TestDigestsStayAsDefined: the definition never changes.
func TestDigestsStayAsDefined(t *testing.T) {
	n := 0
	kinds(t, func(t *testing.T, f *objecttest.File) {
		n++
		name := t.Name()[strings.Index(t.Name(), "/")+1:]
		b := objecttest.Signed(sample(f).Bytes(), []byte("signature"))
		d := digests(t, b)
		if want := vectors[name]; d.WithoutDebug.Hex() != want[0] || d.Code.Hex() != want[1] {
			t.Errorf("%q: {%q, %q}, want %q", name, d.WithoutDebug.Hex(), d.Code.Hex(), want)
		}
	})
	if n != len(vectors) {
		t.Errorf("%d files, %d vectors", n, len(vectors))
	}
}
