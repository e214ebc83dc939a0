package verify

// A Reason is the stable public name of one way to be refused.
type Reason string

// The reasons. Their meaning never changes; docs/spec/reasons.md has a
// sentence and a remedy for each.
const (
	NoAttestation   Reason = "NO_ATTESTATION"
	BadSignature    Reason = "BAD_SIGNATURE"
	UntrustedSigner Reason = "UNTRUSTED_SIGNER"
	NotLogged       Reason = "NOT_LOGGED"
	UnknownBase     Reason = "UNKNOWN_BASE"
	NoProvenance    Reason = "NO_PROVENANCE"
	BaseMismatch    Reason = "BASE_MISMATCH"
	EnvMismatch     Reason = "ENV_MISMATCH"
	StaleHostRecord Reason = "STALE_HOST_RECORD"
	LowAssurance    Reason = "LOW_ASSURANCE"
	RebuildQuorum   Reason = "REBUILD_QUORUM"
	Contested       Reason = "CONTESTED"
	Revoked         Reason = "REVOKED"
	Superseded      Reason = "SUPERSEDED"
	Rollback        Reason = "ROLLBACK"
	Expired         Reason = "EXPIRED"
	Embargoed       Reason = "EMBARGOED"
	HostNotActive   Reason = "HOST_NOT_ACTIVE"
	ClonedKey       Reason = "CLONED_KEY"
	SubjectMismatch Reason = "SUBJECT_MISMATCH"
	Corrupt         Reason = "CORRUPT"
	ForbiddenRole   Reason = "FORBIDDEN_ROLE"
)

// meanings has a sentence and a remedy for each reason, as docs/spec/reasons.md
// lists them. It never changes while a program runs.
var meanings = []struct {
	reason           Reason
	sentence, remedy string
}{
	{NoAttestation, "A statement that has to be there is not: no admitted bundle makes it.", "publish the missing statement: patchfit publish takes an artifact the whole way"},
	{BadSignature, "The signature is not over these bytes by the key that is named.", "sign the statement again; if the bytes were right when they were sent, find out who changed them"},
	{UntrustedSigner, "The key that signed may not make this statement about this product at that time.", "have the statement made by a signer of that role, or give this signer the role in the trust policy"},
	{NotLogged, "There is no valid proof that the statement is in a log, or no valid signed timestamp, of those the trust policy names.", "send the envelope to the log and the timestamp authority of this server and publish the bundle they make"},
	{UnknownBase, "What the host measured, or what the patch names, is no base with a trusted statement in this product.", "send a new host record (patchfit-agent record), or publish the base that the host runs"},
	{NoProvenance, "Provenance of the patch, of its base or of their builder image is missing.", "publish the SLSA provenance of the build: patchfit publish makes it"},
	{BaseMismatch, "The patch was made for another base than the one the host runs.", "choose a patch for the base that the host runs, or move the host to the base the patch is for"},
	{EnvMismatch, "The environments that have to be the same are not, or one of the digests that name them differs.", "build the patch again in the environment of the base that the host runs"},
	{StaleHostRecord, "The host's record is missing, too old, answers no challenge, or its clock is wrong.", "send a new host record: patchfit-agent record; if it is refused again, set the host's clock"},
	{LowAssurance, "The host record, the base or the basis of fit is less assured than is asked for.", "raise the assurance to what is asked for, or lower what the site policy asks"},
	{RebuildQuorum, "Fewer independent rebuilders reproduced the artifact than the trust policy asks for.", "have more of the rebuilders that the trust policy names rebuild it: patchfit audit rebuilds lists what there is"},
	{Contested, "Two trusted statements that are both live disagree.", "find out which one is wrong and have it revoked: patchfit revoke"},
	{Revoked, "A trusted revocation names the evidence, its key, an artifact, the environment or the builder image.", "use a patch that is not revoked; the revocation says why this one is"},
	{Superseded, "A channel of the product offered the patch once and does so no more.", "take what the channel offers now: patchfit-agent pull REPOSITORY -o FILE"},
	{Rollback, "Something older was offered after something newer was taken.", "send a new host record: patchfit-agent record; if the host was restored from a backup, enrol it again"},
	{Expired, "The trust policy, the channel, or the key at the time of the signature, is outside its validity.", "sign and push a new trust policy (patchfit trust edit, sign, push), publish the channel again (patchfit channel publish), or sign with a key that is valid now"},
	{Embargoed, "An embargo keeps the product or the patch from every host that it does not name.", "wait until the embargo is over, or have an admin name the host: patchfit admin embargo"},
	{HostNotActive, "The host is not active.", "have an admin set the host to active: patchfit admin host"},
	{ClonedKey, "One host key is in use by two machines that run at the same time.", "find the copy, then enrol both machines again, each with a key of its own"},
	{SubjectMismatch, "The statement is about something else: another manifest, file, host, product or repository.", "attach the statement to the artifact it was made for, or make one for this artifact"},
	{Corrupt, "The bytes do not read as what they should be, in the one form there is.", "make the document again with patchfit; it says at which spot it stopped reading"},
	{ForbiddenRole, "Whoever asks has no role that allows this in this product.", "ask an admin for the role: patchfit admin grant, or an enrolment token for the product"},
}

// Reasons lists every reason there is.
func Reasons() []Reason {
	list := make([]Reason, len(meanings))
	for i, m := range meanings {
		list[i] = m.reason
	}
	return list
}

// Sentence returns what r means; "" for a name that is no reason.
func (r Reason) Sentence() string {
	for _, m := range meanings {
		if m.reason == r {
			return m.sentence
		}
	}
	return ""
}

// Remedy returns what usually helps against r; "" for a name that is no reason.
func (r Reason) Remedy() string {
	for _, m := range meanings {
		if m.reason == r {
			return m.remedy
		}
	}
	return ""
}

// A Refusal is why something is not evidence. It is an error.
type Refusal struct {
	Reason Reason
	Fact   string // one line: what is wrong, where, with both values
	Remedy string // one line: what to do next
}

func (r *Refusal) Error() string {
	s := string(r.Reason) + ": " + r.Fact
	if r.Remedy != "" {
		s += "; " + r.Remedy
	}
	return s
}
