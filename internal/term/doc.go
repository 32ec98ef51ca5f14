// Package term is the person's side: which streams are terminals, colour,
// tables, questions, progress, raw mode, and the filter between what a bottle
// prints and the terminal it is printed on.
//
// Nothing that a bottle, a project or a manifest chose reaches a terminal as
// it is: a stream goes through a [Filter], everything else through [Escape].
package term
