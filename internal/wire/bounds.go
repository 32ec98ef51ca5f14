package wire

// Bounds say what a guest's filter refuses itself and what runs inside, more or
// less than others.
type Bounds struct {
	Nested bool // namespaces and mounts may be made
	Disk   bool // it has a limit
}

// Args are the arguments of our program as such a guest.
func (b Bounds) Args() []string {
	args := []string{"guest", "init"}
	if b.Nested {
		args = append(args, "nested")
	}
	if b.Disk {
		args = append(args, "bounded")
	}
	return args
}

// ParseBounds reads what Args has behind its first two.
func ParseBounds(words []string) (b Bounds, ok bool) {
	if len(words) > 0 && words[0] == "nested" {
		b.Nested, words = true, words[1:]
	}
	if len(words) > 0 && words[0] == "bounded" {
		b.Disk, words = true, words[1:]
	}
	return b, len(words) == 0
}
