package registry

import "time"

// Limits of what may come in. The zero value of each is its default.
type Limits struct {
	Blob            int64         // bytes of one blob; 10 GiB
	Uploads         int           // open at once; 256
	OwnUploads      int           // of one principal; 16
	OwnPending      int64         // bytes of one principal's uploads that are open; 10 GiB, at least Blob
	Pending         int64         // bytes of all uploads that are open; four times OwnPending
	UploadTTL       time.Duration // of one upload, from its beginning; 1 h
	RepositoryBytes int64         // of all blobs of a repository; 0: no quota
	PublisherBytes  int64         // of all blobs that one principal put into a repository; 0: no quota
}

// withDefaults returns l with every limit set.
func (l Limits) withDefaults() Limits {
	if l.Blob == 0 {
		l.Blob = 10 << 30
	}
	if l.Uploads == 0 {
		l.Uploads = 256
	}
	if l.OwnUploads == 0 {
		l.OwnUploads = 16
	}
	if l.OwnPending == 0 {
		l.OwnPending = max(10<<30, l.Blob)
	}
	if l.Pending == 0 {
		l.Pending = max(l.OwnPending, 4*l.OwnPending) // the first, where the second cannot be counted
	}
	if l.UploadTTL == 0 {
		l.UploadTTL = time.Hour
	}
	return l
}
