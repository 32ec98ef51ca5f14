package cli

// nonNil makes JSON of an empty list "[]".
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
