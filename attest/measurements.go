package attest

import (
	"cmp"
	"fmt"
	"slices"
)

// measuredBy returns what a running host can take of a base of a kind: the
// first is always there, the others where the base has them.
func measuredBy(kind string) []string {
	switch kind {
	case BaseELFLibrary, BaseELFExecutable:
		return []string{MeasureELFFile}
	case BaseKernel:
		return []string{MeasureKernelNotes, MeasureKernelBTF}
	case BaseModule:
		return []string{MeasureModuleNotes}
	}
	return nil
}

// checkMeasurements asks for measurements by which a host can recognise a base
// of this kind.
func checkMeasurements(at spot, kind string, file File, list []Measurement) error {
	if len(list) == 0 {
		return at.errorf("a base without a measurement cannot be recognised")
	}
	if err := each(at, list, checkMeasurement); err != nil {
		return err
	}
	kinds := measuredBy(kind)
	for i, m := range list {
		if !slices.Contains(kinds, m.Kind) {
			return at.index(i).member("kind").errorf("%q is nothing a host measures of a base of kind %q", m.Kind, kind)
		}
		if m.Kind == MeasureELFFile && m.Digest != file.Digest {
			return at.index(i).member("digest").errorf("%s is not the base's file %s, which is what a mapped %s is", m.Digest, file.Digest, m.Kind)
		}
	}
	if !slices.ContainsFunc(list, func(m Measurement) bool { return m.Kind == kinds[0] }) {
		return at.errorf("no %s, which every host takes of a base of kind %q", kinds[0], kind)
	}
	return unique(at, list, func(m Measurement) string { return fmt.Sprint(m) })
}

func checkMeasurement(at spot, m Measurement) error {
	return cmp.Or(
		at.member("kind").oneOf(m.Kind, MeasureELFFile, MeasureKernelNotes, MeasureKernelBTF, MeasureModuleNotes),
		at.member("digest").digest(m.Digest),
		at.member("buildId").buildID(m.BuildID),
	)
}
