"""Nothing but its place: pytest puts the folder of this file on the import path, so that a test of any part can say
`from oracles import frequency_rules`.
"""
