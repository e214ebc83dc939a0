package lint

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Severity says what follows from a finding.
type Severity string

// The severities, the gravest first.
const (
	Contradiction Severity = "contradiction" // patch and base cannot belong together: admission refuses the patch
	Error         Severity = "error"         // it will not load, or patches something else than it should
	Warning       Severity = "warning"       // it may not do all that it should, or does more
	Note          Severity = "note"          // somebody who takes patches may want to know
)

var severities = [...]Severity{Contradiction, Error, Warning, Note}

func (s Severity) grade() int { return slices.Index(severities[:], s) }

// An ID names a kind of finding. They are public: added, never renamed.
type ID string

// The ids.
const (
	FileUnreadable  ID = "file.unreadable"
	FileUnknown     ID = "file.unknown"
	ELFClass        ID = "elf.class"
	ELFByteOrder    ID = "elf.byte-order"
	ELFMachine      ID = "elf.machine"
	TargetBuildID   ID = "target.build-id"
	TargetName      ID = "target.name"
	KLPUnmarked     ID = "klp.unmarked"
	KLPNoFunctions  ID = "klp.no-functions"
	KLPReplace      ID = "klp.replace"
	KLPCallbacks    ID = "klp.callbacks"
	KLPShadow       ID = "klp.shadow"
	KLPStates       ID = "klp.states"
	ModuleVermagic  ID = "module.vermagic"
	ModuleSalt      ID = "module.salt"
	ModuleUnsigned  ID = "module.unsigned"
	ModuleCompiler  ID = "module.compiler"
	SymbolAbsent    ID = "symbol.absent"
	SymbolAmbiguous ID = "symbol.ambiguous"
	SymbolPosition  ID = "symbol.position"
	SymbolParts     ID = "symbol.parts"
	SymbolInlined   ID = "symbol.inlined"
	ImportAbsent    ID = "import.absent"
	ImportCRC       ID = "import.crc"
	ImportUnversion ID = "import.unversioned"
	ULPAddress      ID = "ulp.address"
	ULPIrreversible ID = "ulp.irreversible"
	ULPNewFunction  ID = "ulp.new-function"
)

// A kind is what is the same of all findings with one id.
type kind struct {
	id       ID
	severity Severity
	next     string
}

// kinds is the table of docs/spec/lint.md.
var kinds = [...]kind{
	{FileUnreadable, Error, "build it again; a file that was cut or changed on the way has another digest than its build said"},
	{FileUnknown, Note, "nothing is known here of files like this one; the site policy can ask for facts nevertheless, and then it is denied"},
	{ELFClass, Contradiction, "build the patch for the machine that the base is for"},
	{ELFByteOrder, Contradiction, "build the patch for the machine that the base is for; Linux 6.1 itself does not look at the byte order"},
	{ELFMachine, Contradiction, "build the patch for the machine that the base is for"},
	{TargetBuildID, Contradiction, "publish the patch for the base with that build-id, or make it again from this base"},
	{TargetName, Warning, "check that the patch was made for this base: it names another file"},
	{KLPUnmarked, Error, "add MODULE_INFO(livepatch, \"Y\"); kernels refuse it without"},
	{KLPNoFunctions, Warning, "read the source: the tables of the patch cannot be found, so nothing is known of what it patches; keep its local symbols (strip --strip-debug, not more)"},
	{KLPReplace, Warning, "know what else is on the hosts: loading it takes off every other live patch, those of others too"},
	{KLPCallbacks, Note, "read its callbacks: they run while it is loaded and taken off"},
	{KLPShadow, Note, "read its use of shadow variables: what they hold may be lost when it is taken off"},
	{KLPStates, Note, "read its states: a patch with a lower version of one cannot follow it"},
	{ModuleVermagic, Error, "build the module with the headers of the base's own release"},
	{ModuleSalt, Error, "build it with the headers of that release; whoever edited its vermagic left the build salt"},
	{ModuleUnsigned, Warning, "sign it (patchfit sign-module), or know that hosts with lockdown or module.sig_enforce refuse it"},
	{ModuleCompiler, Warning, "build the patch with the compiler that built the base"},
	{SymbolAbsent, Error, "patch the function it was inlined into, or build from the base's own source"},
	{SymbolAmbiguous, Error, "give the position of the one that is meant (old_sympos), in order of address"},
	{SymbolPosition, Error, "give a position that is there, in order of address"},
	{SymbolParts, Warning, "patch these, too, or say why not: the compiler put a part or a copy of the function there"},
	{SymbolInlined, Warning, "patch the functions it was copied into, too: the old code stays there"},
	{ImportAbsent, Error, "take it from what the base exports, or through a relocation of live patches (.klp.rela)"},
	{ImportCRC, Error, "build with the headers of this base: the types of the symbol are others here"},
	{ImportUnversion, Warning, "build it where Module.symvers is: without checksums the kernel loads it whatever the types are"},
	{ULPAddress, Error, "run ulp packer again with this base as the target"},
	{ULPIrreversible, Warning, "run ulp packer of a version that writes .ulp.rev; without, the patch cannot be taken off"},
	{ULPNewFunction, Error, "name a function that the patch exports"},
}

// IDs returns all ids, in the order of the table.
func IDs() []ID {
	list := make([]ID, len(kinds))
	for i, k := range kinds {
		list[i] = k.id
	}
	return list
}

// A Finding is one thing that is wrong, or worth knowing.
type Finding struct {
	ID       ID       `json:"id"`
	Severity Severity `json:"severity"`
	Fact     string   `json:"fact"`
	Next     string   `json:"next"`
}

// find adds a finding.
func (l *look) find(id ID, format string, args ...any) {
	i := slices.IndexFunc(kinds[:], func(k kind) bool { return k.id == id })
	l.report.Findings = append(l.report.Findings, Finding{id, kinds[i].severity, clean(fmt.Sprintf(format, args...), 4*maxText), kinds[i].next})
}

// unchecked says that findings with this id could not be looked for.
func (l *look) unchecked(id ID, format string, args ...any) {
	l.report.NotChecked = append(l.report.NotChecked, Unchecked{string(id), clean(fmt.Sprintf(format, args...), maxText)})
}

// clean returns a text from a file as it can stand in a report: valid, without
// control characters, and not endless.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
