package trust

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

// rebuildChanges say what has to be rebuilt, and by how different people.
type rebuildChanges struct {
	independence []string
	quorums      []string
}

func (r *rebuildChanges) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&r.independence, "independence", nil, "NAME=operator:WORD[,hosting:WORD][,toolchain:WORD]: what tells a signer from others where rebuilds are counted; NAME=none takes it away")
	f.StringArrayVar(&r.quorums, "quorum", nil, "PRODUCT:base=N[,CLASS…] or PRODUCT:patch=N[,CLASS…]: how many rebuilders have to reproduce it, all of other operators and of other CLASSes (hosting, toolchain); N 0: none")
}

func (r *rebuildChanges) apply(p *attest.TrustPolicy) error {
	for _, s := range r.independence {
		if err := setIndependence(p, s); err != nil {
			return err
		}
	}
	for _, s := range r.quorums {
		if err := setQuorum(p, s); err != nil {
			return err
		}
	}
	return nil
}

func setIndependence(p *attest.TrustPolicy, s string) error {
	name, list, err := shell.Pair(s, "NAME=operator:WORD")
	if err != nil {
		return err
	}
	i := findSigner(p, name)
	if i < 0 {
		return fmt.Errorf("the trust policy has no signer %q", name)
	}
	var said attest.Independence
	for part := range strings.SplitSeq(list, ",") {
		class, word, _ := strings.Cut(part, ":")
		switch {
		case list == "none":
		case class == attest.ClassOperator && word != "":
			said.Operator = word
		case class == attest.ClassHosting && word != "":
			said.Hosting = word
		case class == attest.ClassToolchain && word != "":
			said.Toolchain = word
		default:
			return exit.BadUsage(fmt.Errorf("--independence %q: %q is not operator:WORD, hosting:WORD or toolchain:WORD", s, part), "")
		}
	}
	p.Signers[i].Independence = said
	return nil
}

func setQuorum(p *attest.TrustPolicy, s string) error {
	left, list, err := shell.Pair(s, "PRODUCT:patch=N")
	if err != nil {
		return err
	}
	colon := strings.LastIndex(left, ":")
	if colon < 0 {
		return exit.BadUsage(fmt.Errorf("--quorum %q is not PRODUCT:base=N or PRODUCT:patch=N", s), "")
	}
	i, err := findProduct(p, left[:colon])
	if err != nil {
		return err
	}
	words := strings.Split(list, ",")
	n, err := strconv.Atoi(words[0])
	if err != nil || n < 0 {
		return exit.BadUsage(fmt.Errorf("--quorum %q: %q is not a number from 0", s, words[0]), "")
	}
	q := &attest.Quorum{Reproduced: n, Differ: append([]string{}, words[1:]...)}
	if n == 0 {
		q = nil
	}
	switch kind := left[colon+1:]; kind {
	case "base":
		p.Products[i].Rebuilds.Base = q
	case "patch":
		p.Products[i].Rebuilds.Patch = q
	default:
		return exit.BadUsage(fmt.Errorf("--quorum %q: %q is neither base nor patch", s, kind), "")
	}
	return nil
}

// rebuildsText tells what a product asks of rebuilders.
func rebuildsText(w io.Writer, p attest.Product) {
	for _, k := range []struct {
		name string
		q    *attest.Quorum
	}{{"bases", p.Rebuilds.Base}, {"patches", p.Rebuilds.Patch}} {
		if k.q == nil {
			continue
		}
		classes := append([]string{attest.ClassOperator}, k.q.Differ...)
		fmt.Fprintf(w, "  %s: reproduced by %d, each of another %s\n", k.name, k.q.Reproduced, strings.Join(slices.Compact(classes), ", "))
	}
}
