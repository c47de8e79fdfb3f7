package cookie

var AppendDate = appendDate
