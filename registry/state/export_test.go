package state

// Forget drops what readers gathered.
func Forget(s *State) {
	for _, repo := range s.repositories {
		repo.gathered.forget()
	}
}
